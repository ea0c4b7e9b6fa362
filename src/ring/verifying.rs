//! How far a verification is.

use crate::store::BoxFuture;
use crate::verdict::{VerifiedKey, VerifyError};

pub(super) type Verdict = Result<VerifiedKey, VerifyError>;

/// A verification, at its end or waiting for the store.
pub(crate) enum Verifying {
    Done(Verdict),
    Pending(BoxFuture<'static, Verdict>),
}
