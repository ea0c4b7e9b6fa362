//! When and why a key was revoked.

use super::RevocationReason;
use crate::time::Timestamp;

/// When and why a key was revoked. There is no way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

impl Revocation {
    /// A revocation at this time, for this reason.
    pub const fn new(at: Timestamp, reason: RevocationReason) -> Self {
        Self { at, reason }
    }
}
