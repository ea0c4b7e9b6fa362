//! The changes that a store applies.

use super::{Expected, KeyLimit, Write};
use crate::access::actor::Actor;

/// A set of writes that a store applies all together or not at all.
///
/// The operations of a [`KeyRing`](crate::KeyRing) make changes, and a store applies them. A store that
/// changes its own records, such as one that reads them from a file, makes its changes here:
///
/// ```
/// use tower_api_key::store::{Change, KeyLimit, KeyStore, MemoryStore, Write};
/// use tower_api_key::{Grant, KeyRing, RevocationReason, ScopeSet, Timestamp};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let ring = KeyRing::builder("acme").build(store.clone())?;
/// let first = ring.issue(Grant::new("alice").scopes(["read", "write"])).await?;
/// let second = ring.issue(Grant::new("alice")).await?;
///
/// // One key is narrowed and the other revoked, in one commit, if alice has one key afterwards.
/// let narrowed = Write::next(first.record(), |parts| parts.scopes = ScopeSet::default());
/// let now = Timestamp::from_unix(1_800_000_000);
/// let revoked = Write::revoked(second.record(), RevocationReason::CessationOfOperation, now);
/// let change = Change::new(vec![narrowed, revoked])
///     .only_within(KeyLimit::new(ring.realm(), first.record().subject(), 1, now));
/// store.commit(&change).await?;
///
/// assert!(ring.verify(second.secret().expose().as_bytes()).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Change {
    writes: Vec<Write>,
    limits: Vec<KeyLimit>,
    actor: Option<Actor>,
}

impl Change {
    /// A change of these writes, in this order. Each names another record.
    ///
    /// No rule is checked here: whether a write widens a key is for its caller to know.
    pub fn new(writes: Vec<Write>) -> Self {
        Self {
            writes,
            limits: Vec::new(),
            actor: None,
        }
    }

    /// Makes the change apply only if a subject has no more keys than this limit allows afterwards.
    #[must_use]
    pub fn only_within(mut self, limit: KeyLimit) -> Self {
        // The keys of a batch have one limit for each subject.
        if !self.limits.contains(&limit) {
            self.limits.push(limit);
        }
        self
    }

    /// Says who makes the change. A store that keeps a history records it there.
    #[must_use]
    pub fn by(mut self, actor: Option<&Actor>) -> Self {
        self.actor = actor.cloned();
        self
    }

    /// Adds another change, of other records, that applies together with this one.
    pub(crate) fn append(&mut self, other: Self) {
        self.writes.extend(other.writes);
        for limit in other.limits {
            if !self.limits.contains(&limit) {
                self.limits.push(limit);
            }
        }
    }

    /// The part of the change that concerns existing records.
    pub(crate) fn to_known_records(&self) -> Self {
        let known = |write: &&Write| write.expected != Expected::Absent;
        Self::new(self.writes.iter().filter(known).cloned().collect()).by(self.actor())
    }

    /// The writes, in order. Each names another record.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Who makes the change, if that was said.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// The limits that hold once the change has applied.
    pub fn limits(&self) -> &[KeyLimit] {
        &self.limits
    }
}
