//! Where a history is.

use std::time::Duration;

use super::Position;

/// Where a history is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Head {
    /// The position now.
    pub position: Position,
    /// The staleness that the database states for all replicas: an accept begins no later than this after a
    /// revocation was acknowledged.
    pub staleness: Duration,
    /// The longest staleness that was in force in the last twenty minutes, which is at least the one now. A replica that
    /// has not heard of a change yet may still go by it.
    pub longest_staleness: Duration,
}

impl Head {
    /// A head in a database whose staleness was not changed in the last twenty minutes.
    pub fn new(position: Position, staleness: Duration) -> Self {
        Self {
            position,
            staleness,
            longest_staleness: staleness,
        }
    }
}
