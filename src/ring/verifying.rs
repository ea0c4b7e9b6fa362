//! How far a verification is.

use crate::access::caveat::Unmet;
use crate::lifecycle::Reading;
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

/// Why a key was not accepted at once, by which its verification [goes on](super::KeyRing::go_on). It is small, and no function
/// writes to it, so that a key that is accepted stays in registers.
pub(crate) enum Unfinished {
    /// No record in memory may be believed.
    AtStore,
    /// No record has the digest.
    Missed,
    Refused(Held, Fault, Reading),
    /// The record does not refuse it, and there is more to do.
    Accepted(Held),
}

/// Why a record refuses the key whose digest found it.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    OfAnotherDigest,
    Unmet(Unmet),
    /// It has ended or not begun, or is of another realm.
    NotLive,
}
