//! The changes that a store applies.

use super::{Expected, SubjectKeys, Write};

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
/// let first = ring.issue(Grant::new("alice").scopes(["read", "write"])).await?;
/// let second = ring.issue(Grant::new("alice")).await?;
///
/// // One key is narrowed and the other revoked, in one commit, if these are alice's only keys.
/// let held = ring.list(&ListQuery::new().subject("alice").unrevoked()).await?;
/// let narrowed = Write::next(first.record(), |parts| parts.scopes = ScopeSet::default());
/// let now = Timestamp::from_unix(1_800_000_000);
/// let revoked = Write::revoked(second.record(), RevocationReason::CessationOfOperation, now);
/// let change = Change::new(vec![narrowed, revoked])
///     .only_while(SubjectKeys::new(ring.realm(), first.record().subject(), &held));
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
