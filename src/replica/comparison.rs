//! The checksums of what is held, next to those of the database.

use std::sync::Arc;

use super::Sums;
use crate::record::KeyRecord;

/// How many records a step takes, which is about a millisecond.
const STEP: usize = 1_000;

/// A comparison of some buckets that goes on in steps, because it takes a second for a million records. Records never
/// change, so what is compared is the state at the moment at which it began.
pub(crate) struct Comparison {
    records: std::vec::IntoIter<Arc<KeyRecord>>,
    upto: u8,
    ours: Sums,
    theirs: Sums,
}

impl Comparison {
    /// All records of some buckets, the last of which is `upto`, and the checksums that they should have.
    pub(crate) fn new(records: Vec<Arc<KeyRecord>>, upto: u8, theirs: Sums) -> Self {
        Self {
            records: records.into_iter(),
            upto,
            ours: Sums::new(),
            theirs,
        }
    }

    /// The last bucket and those that differ, if this was the last step.
    pub(crate) fn step(&mut self) -> Option<(u8, Vec<u8>)> {
        for record in self.records.by_ref().take(STEP) {
            self.ours.add(&record);
        }
        let is_done = self.records.as_slice().is_empty();
        is_done.then(|| (self.upto, self.ours.differing(&self.theirs)))
    }
}
