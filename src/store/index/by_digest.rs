//! The entries of the index that requests read.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use papaya::Equivalent;

use crate::key::digest::KeyDigest;
use crate::record::KeyRecord;

/// A record as the index compares it, by its digest. Which of two digests is stored is no secret from a client
/// that knows neither, and the ring compares the digest that was found in constant time.
pub(super) struct ByDigest(pub(super) Arc<KeyRecord>);

impl PartialEq for ByDigest {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.digest().as_bytes() == other.0.digest().as_bytes()
    }
}

impl Eq for ByDigest {}

impl Hash for ByDigest {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest().hash(state);
    }
}

impl Equivalent<ByDigest> for KeyDigest {
    #[inline]
    fn equivalent(&self, key: &ByDigest) -> bool {
        self.as_bytes() == key.0.digest().as_bytes()
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
