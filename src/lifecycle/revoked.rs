//! The result of a revocation.

use super::Ended;

/// The result of a revocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Whether the realm has a record that was named, revoked before or now.
    pub found: bool,
    /// The records that this call ended, in the order of their ids.
    pub ended: Vec<Ended>,
}
