//! A comparison of checksums, some buckets at a time.

use std::ops::RangeInclusive;

/// How far a comparison of all buckets is.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The first bucket that is not compared yet.
    next: u8,
    /// Whether the checksums of the next ones are here and not compared yet.
    pub(super) is_comparing: bool,
    differing: Vec<u8>,
}

impl Walk {
    /// The next buckets: this many, if as many are left.
    pub(super) fn next(&self, count: u8) -> RangeInclusive<u8> {
        self.next..=self.next.saturating_add(count.saturating_sub(1))
    }

    /// Goes on after these buckets. When all are compared, the walk begins anew, and these are the buckets that
    /// differ.
    pub(super) fn compared(&mut self, upto: u8, differing: Vec<u8>) -> Option<Vec<u8>> {
        self.is_comparing = false;
        self.differing.extend(differing);
        self.next = upto.wrapping_add(1);
        (upto == u8::MAX).then(|| self.stop())
    }

    /// The buckets that were found to differ until now.
    pub(super) fn stop(&mut self) -> Vec<u8> {
        self.is_comparing = false;
        std::mem::take(&mut self.differing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_comes_to_each_bucket_once() {
        for count in [1, 3, 32, 128, 255] {
            let mut walk = Walk::default();
            let mut seen = Vec::new();
            let differing = loop {
                let buckets = walk.next(count);
                seen.extend(buckets.clone());
                let odd = buckets.clone().filter(|bucket| bucket % 2 == 1).collect();
                if let Some(differing) = walk.compared(*buckets.end(), odd) {
                    break differing;
                }
            };
            assert!(seen.iter().copied().eq(0..=u8::MAX), "{count}");
            assert_eq!(differing.len(), 128, "{count}");
            assert_eq!(walk.next(count), 0..=count - 1);
            assert_eq!(walk.stop(), Vec::<u8>::new());
        }
    }
}
