//! The key of the index that requests read.

use std::hash::{Hash, Hasher};

use papaya::Equivalent;

use crate::key::digest::KeyDigest;

/// A digest as the index compares it. Which of two digests is stored is no secret from a client that
/// knows neither, and the ring compares the digest that was found in constant time.
#[derive(Clone, Copy)]
pub(super) struct ByDigest(pub(super) KeyDigest);

impl PartialEq for ByDigest {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for ByDigest {}

impl Hash for ByDigest {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<ByDigest> for KeyDigest {
    #[inline]
    fn equivalent(&self, key: &ByDigest) -> bool {
        self.as_bytes() == key.0.as_bytes()
    }
}

/// Takes the eight bytes that a digest offers as they are.
#[derive(Default)]
pub(super) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    /// A `KeyDigest` hashes itself with one `write_u64`, so this only keeps the trait whole.
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
