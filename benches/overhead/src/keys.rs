//! Keys, and the choice of the key for the next request.

use std::mem;

use tower_api_key::{Grant, KeyRing, store::MemoryStore};

use crate::subject::now;

/// The scopes of most keys.
pub const SCOPES: usize = 3;

/// The names of this many scopes.
///
/// ```text
/// orders00:read orders01:read …
/// ```
pub fn scopes(count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("orders{index:02}:read"))
        .collect()
}

/// The plaintexts that requests present.
#[derive(Debug)]
pub struct Keys {
    pub(crate) valid: Vec<String>,
    pub(crate) unknown: Vec<String>,
    pub(crate) malformed: Vec<String>,
}

impl Keys {
    /// Issues this many keys one by one, as a service does, and makes refused ones.
    pub(crate) fn issue(ring: &KeyRing, count: usize, scopes: &[String]) -> Self {
        let issued: Vec<String> = (0..count).map(|index| issue(ring, index, scopes)).collect();
        // Not the texts that were made next to the records: who reads such a text has the record's page at hand, which
        // no client's key has.
        let valid = issued.clone();
        let stranger = KeyRing::builder("acme_live")
            .build(MemoryStore::new())
            .unwrap();
        // Many, so that a look-up in a large table finds no line that an earlier one brought.
        let unknown: Vec<String> = (0..count.clamp(1_000, 100_000))
            .map(|index| issue(&stranger, index, &[]))
            .collect();
        let malformed = unknown.iter().map(|key| malformed(key)).collect();
        // Never freed: the parts of a copy of the records would lie in the gaps, far from each other, and a process that
        // has only a copy has no such gaps.
        mem::forget((issued, stranger));
        Self {
            valid,
            unknown,
            malformed,
        }
    }
}

/// The subject of a key.
pub fn subject_name(index: usize) -> String {
    format!("user-{index:07}")
}

fn issue(ring: &KeyRing, index: usize, scopes: &[String]) -> String {
    let grant = Grant::new(subject_name(index)).scopes(scopes);
    let issued = now(ring.issue(grant.label("nightly"))).unwrap();
    issued.secret().expose().to_owned()
}

/// The same key with a wrong last character, which belongs to the checksum.
fn malformed(key: &str) -> String {
    let mut key = key.to_owned();
    let last = key.pop();
    key.push(if last == Some('0') { '1' } else { '0' });
    key
}

/// Draws evenly at almost no cost, in the same order in every run.
#[derive(Debug, Clone)]
pub enum Draws {
    /// At random.
    Random(u64),
    /// The first every time.
    Hot,
}

impl Draws {
    /// A different sequence for each number.
    pub const fn random(seed: u64) -> Self {
        Self::Random(0x9e37_79b9_7f4a_7c15 ^ (seed + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    /// An index below `count`, which is not 0.
    pub fn next(&mut self, count: usize) -> usize {
        match self {
            Self::Hot => 0,
            Self::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                usize::try_from(*state % count as u64).unwrap()
            }
        }
    }
}
