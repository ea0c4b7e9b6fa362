//! When and why a key was revoked.

use super::RevocationReason;
use crate::time::Timestamp;

/// When and why a key was revoked. There is no way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}
