//! The changes that a store applies.

use std::sync::Arc;

use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::record::{KeyRecord, KeyRecordParts, Revocation, RevocationReason};
use crate::time::Timestamp;

/// A set of writes that a store applies all together or not at all.
///
/// The operations of a [`KeyRing`](crate::KeyRing) make changes, and a store applies them. A store that
/// changes its own records, such as one that reads them from a file, makes its changes here:
///
/// ```
/// use tower_api_key::store::{Change, KeyStore, ListQuery, MemoryStore, SubjectKeys, Write};
/// use tower_api_key::{Grant, KeyRing, RevocationReason, ScopeSet, Timestamp};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let ring = KeyRing::builder("acme").build(store.clone())?;
/// let first = ring.issue(Grant::new("alice").scopes(["read", "write"])?).await?;
/// let second = ring.issue(Grant::new("alice")).await?;
///
/// // One key is narrowed and the other revoked, in one commit, if these are alice's only keys.
/// let held = ring.list(&ListQuery::new().subject("alice").unrevoked()).await?;
/// let narrowed = Write::next(first.record(), |parts| parts.scopes = ScopeSet::default());
/// let now = Timestamp::from_unix(1_800_000_000);
/// let revoked = Write::revoked(second.record(), RevocationReason::CessationOfOperation, now);
/// let change = Change::new(vec![narrowed, revoked])
///     .only_while(SubjectKeys::new(ring.realm(), "alice", &held));
/// store.commit(&change).await?;
///
/// assert!(ring.verify(second.secret().expose().as_bytes()).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Change {
    writes: Vec<Write>,
    subjects: Vec<SubjectKeys>,
}

impl Change {
    /// A change of these writes, in this order. Each names another record.
    ///
    /// No rule is checked here: whether a write widens a key is for its caller to know.
    pub fn new(writes: Vec<Write>) -> Self {
        Self {
            writes,
            subjects: Vec::new(),
        }
    }

    /// Makes the change apply only while a subject has exactly these keys.
    #[must_use]
    pub fn only_while(mut self, keys: SubjectKeys) -> Self {
        self.subjects.push(keys);
        self
    }

    /// Adds another change, of other records, that applies together with this one.
    pub(crate) fn append(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.subjects.extend(other.subjects);
    }

    /// The part of the change that concerns existing records.
    pub(crate) fn to_known_records(&self) -> Self {
        let known = |write: &&Write| write.expected != Expected::Absent;
        Self::new(self.writes.iter().filter(known).cloned().collect())
    }

    /// The writes, in order. Each names another record.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The conditions on all the keys of a subject for the change to apply.
    pub fn subjects(&self) -> &[SubjectKeys] {
        &self.subjects
    }
}

/// One record to put, and the expected state of its place before.
#[derive(Debug, Clone)]
pub struct Write {
    /// The record as it shall be.
    pub record: Arc<KeyRecord>,
    /// The state that the store must find under its id for the change to apply.
    pub expected: Expected,
}

impl Write {
    /// A new record: its id and its digest are in no other.
    pub fn new(record: impl Into<Arc<KeyRecord>>) -> Self {
        Self {
            record: record.into(),
            expected: Expected::Absent,
        }
    }

    /// The next version of a record. Its version is set after the edit, one above that of the record.
    pub fn next(record: &KeyRecord, edit: impl FnOnce(&mut KeyRecordParts)) -> Self {
        let mut parts = record.to_parts();
        edit(&mut parts);
        parts.version = record.version().saturating_add(1);
        Self {
            record: parts.into(),
            expected: Expected::Version(record.version()),
        }
    }

    /// The next version of a record, revoked at this time.
    ///
    /// To revoke keys whatever other writers do, call [`KeyStore::revoke`](crate::store::KeyStore::revoke):
    /// this write fails as a conflict if the record has changed.
    pub fn revoked(record: &KeyRecord, reason: RevocationReason, now: Timestamp) -> Self {
        Self::next(record, |parts| {
            parts.revocation = Some(Revocation { at: now, reason });
        })
    }
}

/// The state that a store must find under a record's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the record is new, and its digest is in no other record.
    Absent,
    /// The same record at exactly this version, with the same digest, realm, subject and lineage.
    Version(u64),
}

/// The keys of a subject that a change was computed from: the store must find exactly these,
/// at these versions, among the subject's records that are not revoked.
///
/// It makes a limit on the keys of a subject hold, and a subject's revocation complete, while others
/// issue keys to the same subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKeys {
    realm: Realm,
    subject: String,
    keys: Vec<(KeyId, u64)>,
}

impl SubjectKeys {
    /// From the records of the subject. Those that are revoked do not count.
    pub fn new(realm: &Realm, subject: &str, records: &[Arc<KeyRecord>]) -> Self {
        let mut keys: Vec<_> = records
            .iter()
            .filter(|record| record.revocation().is_none())
            .map(|record| (record.id(), record.version()))
            .collect();
        keys.sort_unstable();
        Self {
            realm: realm.clone(),
            subject: subject.to_owned(),
            keys,
        }
    }

    /// The realm of the keys.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Whose keys they are.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The id and the version of each, in the order of the ids.
    pub fn keys(&self) -> &[(KeyId, u64)] {
        &self.keys
    }
}
