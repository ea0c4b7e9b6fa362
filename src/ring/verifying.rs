//! How far a verification is.

use crate::record::Held;
use crate::store::BoxFuture;
use crate::verdict::{VerifiedKey, VerifyError};

pub(super) type Verdict = Result<VerifiedKey, VerifyError>;

/// A key that its record does not refuse. It is no proof yet: [`accept`](super::KeyRing::accept) and
/// [`owned`](super::KeyRing::owned) alone make one of it.
pub(super) type Judged = Result<Held, VerifyError>;

/// A verification, at its end or waiting for the store.
pub(crate) enum Verifying {
    Done(Verdict),
    Pending(BoxFuture<'static, Verdict>),
}

/// A key that is accepted at once is not within it before that is asked for.
impl From<Result<VerifiedKey, Self>> for Verifying {
    fn from(accepted: Result<VerifiedKey, Self>) -> Self {
        accepted.map_or_else(|verifying| verifying, |key| Self::Done(Ok(key)))
    }
}
