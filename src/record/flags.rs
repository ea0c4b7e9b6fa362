//! What a record holds in the four bytes after its id.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::time::Timestamp;

/// Whether a record has a label, and when a use of it was noted last. A field of its own for either would make every
/// record in memory 16 bytes larger.
#[derive(Debug)]
pub(crate) struct Flags(AtomicU32);

const HAS_LABEL: u32 = 1 << 31;
/// In each stamp, and not in that of a record that was never used.
const IS_USED: u32 = 1 << 30;
const TIME: u32 = IS_USED - 1;

/// The second of a use, as one ring writes it into a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UseStamp(u32);

impl UseStamp {
    /// Two rings whose numbers differ by less than 1 024 never write the same stamp in the same second. They do in seconds that
    /// differ by certain multiples of 2^20, twelve days: a use in that one second is then not noted. One ring writes a stamp again
    /// after 34 years.
    #[inline]
    pub(crate) fn new(at: Timestamp, ring: u32) -> Self {
        let [.., a, b, c, d] = at.as_unix().to_be_bytes();
        let seconds = u32::from_be_bytes([a, b, c, d]);
        Self((seconds ^ (ring << 20)) & TIME | IS_USED)
    }
}

impl Flags {
    pub(super) fn new(has_label: bool) -> Self {
        Self(AtomicU32::new(if has_label { HAS_LABEL } else { 0 }))
    }

    #[inline]
    pub(super) fn has_label(&self) -> bool {
        self.0.load(Ordering::Relaxed) & HAS_LABEL != 0
    }

    /// Whether this stamp was written last. Then all that its writer did before is seen too.
    #[inline]
    pub(crate) fn is_stamped(&self, stamp: UseStamp) -> bool {
        self.0.load(Ordering::Acquire) & !HAS_LABEL == stamp.0
    }

    /// Remembers that a use at this second is noted.
    pub(crate) fn stamp(&self, stamp: UseStamp) {
        let label = self.0.load(Ordering::Relaxed) & HAS_LABEL;
        // Between the two, no other thread changes whether there is a label.
        self.0.store(label | stamp.0, Ordering::Release);
    }
}

/// A copy is a record of which no use is noted.
impl Clone for Flags {
    fn clone(&self) -> Self {
        Self::new(self.has_label())
    }
}

/// The uses are no part of what a record says.
impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.has_label() == other.has_label()
    }
}

impl Eq for Flags {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_nothing_else() {
        for has_label in [false, true] {
            let flags = Flags::new(has_label);
            let at = |seconds| UseStamp::new(Timestamp::from_unix(seconds), 7);
            assert!(!flags.is_stamped(at(0)));
            flags.stamp(at(u64::MAX));
            assert!(flags.is_stamped(at(u64::MAX)));
            flags.stamp(at(5));
            assert!(flags.is_stamped(at(5)));
            assert!(!flags.is_stamped(at(6)));
            assert_eq!(flags.has_label(), has_label);
            assert_eq!(flags, Flags::new(has_label));
            assert!(!flags.clone().is_stamped(at(5)));
        }
    }

    #[test]
    fn two_rings_write_two_stamps_in_one_second() {
        let now = Timestamp::from_unix(1_800_000_000);
        let stamps: Vec<UseStamp> = (3..1_027).map(|ring| UseStamp::new(now, ring)).collect();
        for (place, stamp) in stamps.iter().enumerate() {
            assert!(!stamps[..place].contains(stamp), "{place}");
        }
    }
}
