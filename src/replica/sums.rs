//! Checksums of records, by which a copy is compared with its database.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::key::digest::KeyDigest;
use crate::record::KeyRecord;
use crate::time::Timestamp;

/// How many buckets there are: one for each first byte of a digest.
const BUCKETS: usize = 256;

/// The checksums of a set of records, one for each first byte of their digests.
///
/// The checksum of a record is the first eight bytes, big-endian, of the SHA-256 of its lines: the realm, the id, the
/// digest in hexadecimal digits, the version, the subject, the scopes, the caveats, and the times
/// `not_before`, `expires_at`, `grace_ends_at` and `revoked_at` in seconds since the Unix epoch, each line ended by `\n`.
/// What a record does not have is an empty line, and a time that an `i64` cannot hold is `i64::MAX`. The checksum
/// of a set is their sum modulo 2⁶⁴, so that a database can compute it in any order.
#[derive(Clone, PartialEq, Eq)]
pub struct Sums(Box<[Sum; BUCKETS]>);

/// The checksum of the records of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sum {
    /// How many records there are.
    pub count: u64,
    /// The sum of their checksums modulo 2⁶⁴.
    pub sum: u64,
}

impl Sum {
    /// A checksum of this many records.
    pub const fn new(count: u64, sum: u64) -> Self {
        Self { count, sum }
    }
}

impl Default for Sums {
    fn default() -> Self {
        Self(Box::new([Sum::default(); BUCKETS]))
    }
}

impl Sums {
    /// The sums of no record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    pub fn add(&mut self, record: &KeyRecord) {
        let sum = &mut self.0[usize::from(bucket(record.digest()))];
        sum.count += 1;
        sum.sum = sum.sum.wrapping_add(checksum(record));
    }

    /// Puts the sum that a database has computed of a bucket in its place.
    pub fn set(&mut self, bucket: u8, sum: Sum) {
        self.0[usize::from(bucket)] = sum;
    }

    /// The sum of a bucket.
    pub fn get(&self, bucket: u8) -> Sum {
        self.0[usize::from(bucket)]
    }

    /// The buckets in which the two differ.
    pub fn differing(&self, other: &Self) -> Vec<u8> {
        let differs = |bucket: &u8| self.get(*bucket) != other.get(*bucket);
        (0..=u8::MAX).filter(differs).collect()
    }
}

impl fmt::Debug for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: u64 = self.0.iter().map(|sum| sum.count).sum();
        f.debug_struct("Sums")
            .field("count", &count)
            .finish_non_exhaustive()
    }
}

/// The bucket of a digest: its first byte.
fn bucket(digest: &KeyDigest) -> u8 {
    digest.as_bytes()[0]
}

fn checksum(record: &KeyRecord) -> u64 {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(256);
    let mut line = |value: &dyn fmt::Display| {
        // A `String` takes all that is written.
        let _ = writeln!(text, "{value}");
    };
    line(record.realm());
    line(&record.id());
    line(&Hex(record.digest()));
    line(&record.version());
    line(record.subject());
    line(record.scopes());
    line(record.caveats());
    let times = [
        Some(record.not_before()),
        record.expires_at(),
        record.grace_ends_at(),
        record.revocation().map(|revocation| revocation.at),
    ];
    for at in times {
        line(&Seconds(at));
    }
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let [first, ..] = hash.as_chunks::<8>().0 else {
        return 0;
    };
    u64::from_be_bytes(*first)
}

struct Hex<'a>(&'a KeyDigest);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.as_bytes().iter();
        bytes.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Seconds(Option<Timestamp>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, "{}", i64::try_from(at.as_unix()).unwrap_or(i64::MAX)),
            None => Ok(()),
        }
    }
}
