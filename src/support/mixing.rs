//! A hash for names that no stranger chooses.

use std::hash::Hasher;

/// Adds a word to a hash. The multiplier is that of Fibonacci hashing, 2^64 divided by the golden ratio.
#[inline]
pub(crate) fn mixed(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

/// Hashes a name in a few instructions. Somebody who chooses the names can make them collide, so they are
/// those of records, of which there is one for each key that was issued, and those in a service's code.
#[derive(Default)]
pub(crate) struct MixingHasher(u64);

impl Hasher for MixingHasher {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = mixed(self.0, word);
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for &byte in rest {
            self.write_u64(byte.into());
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
