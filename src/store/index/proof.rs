//! What a verdict needs before it looks up.

use crate::time::Timestamp;

/// That an index was fresh. Whoever has it may believe what the index holds from then on: a reading of the clock
/// that is earlier than the look-up proves no less.
#[derive(Debug)]
pub(crate) struct Proof(Option<Timestamp>);

impl Proof {
    /// By a reading of the clock that says nothing of the wall clock, or by none.
    pub(super) const fn without_time() -> Self {
        Self(None)
    }

    /// By a reading of the system's clock, at this time if it is known.
    pub(super) const fn at(time: Option<Timestamp>) -> Self {
        Self(time)
    }

    /// The time by the wall clock of the system, if the proof says it.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.0
    }
}
