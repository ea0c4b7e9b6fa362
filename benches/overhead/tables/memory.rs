//! What a key takes of the memory of a process.

use tower_api_key::store::{Freshness, Index, MemoryStore};
use tower_api_key::{
    Grant, KeyDigest, KeyRecord, KeyRecordParts, KeyRing, Realm, ScopeSet, Timestamp,
};
use tower_api_key_overhead::{SCOPES, now, scopes, subject_name};

/// What keeps the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A `MemoryStore`, in which a ring issued them.
    Store,
    /// An `Index` alone, as a copy that only answers look-ups fills it.
    Index,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Store, Self::Index];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Store => "MemoryStore",
            Self::Index => "Index",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Prints the bytes a key. The process must be new: it fills no memory that others left.
pub(crate) fn report(kind: Kind, keys: usize) {
    let before = resident();
    let scopes = scopes(SCOPES);
    // It is held until the memory is read.
    let held: Box<dyn std::any::Any> = match kind {
        Kind::Store => Box::new(issued(keys, &scopes)),
        Kind::Index => Box::new(indexed(keys, &scopes)),
    };
    let grown = resident().saturating_sub(before);
    drop(held);
    println!("{}\t{}", kind.name(), grown / keys);
}

fn issued(keys: usize, scopes: &[String]) -> MemoryStore {
    let store = MemoryStore::new();
    let ring = KeyRing::builder("acme_live").build(store.clone()).unwrap();
    for index in 0..keys {
        let grant = Grant::new(subject_name(index)).scopes(scopes);
        now(ring.issue(grant.label("nightly"))).unwrap();
    }
    store
}

fn indexed(keys: usize, scopes: &[String]) -> Index {
    let index = Index::new(Freshness::always());
    let text = scopes.join(" ");
    for number in 0..keys {
        // Every part from its own text, as rows of a database come.
        let realm = Realm::new("acme_live").unwrap();
        let id = format!("{number:012}");
        let digest = KeyDigest::sha256(id.as_bytes());
        let issued_at = Timestamp::from_unix(1_800_000_000);
        let subject = subject_name(number);
        let mut parts = KeyRecordParts::new(
            id.parse().unwrap(),
            realm,
            digest,
            subject.parse().unwrap(),
            issued_at,
        );
        parts.scopes = text.parse::<ScopeSet>().unwrap();
        parts.label = Some("nightly".parse().unwrap());
        index.put(KeyRecord::from(parts));
    }
    index
}

/// The resident bytes of this process, on Linux.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap();
    1024 * kib.parse::<usize>().unwrap()
}
