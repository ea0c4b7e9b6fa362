//! A ring of a layer next to its first.

use crate::access::requirement::Requirement;
use crate::ring::KeyRing;

/// A ring next to the first.
#[derive(Clone)]
pub(super) struct OtherRing {
    pub(super) ring: KeyRing,
    /// `None` if the requirement of the layer is meant.
    pub(super) required: Option<Requirement>,
}
