//! A store that keeps the changes that it applied.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::at_once::at_once;
use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::Revocation;
use crate::store::{
    BoxFuture, Change, ChangeListener, ExpiryClaims, ExpiryLadder, Found, HistoryPage,
    HistoryQuery, Index, KeyStore, KeyUsage, ListQuery, Lookup, MemoryStore, Page, Revoked,
    StoreError, StoreId, Target,
};
use crate::time::Timestamp;

/// A store in memory that keeps the changes that it applied, in their order. A clone is another handle to the same
/// records.
///
/// The operations of a ring make the changes, so a test of a store has changes as they are in a service:
///
/// ```
/// use tower_api_key::store::{KeyStore, MemoryStore};
/// use tower_api_key::{Grant, KeyRing, testing::RecordingStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let recording = RecordingStore::new();
/// let ring = KeyRing::builder("acme").build(recording.clone())?;
/// let issued = ring.issue(Grant::new("alice")).await?;
/// let rotated = ring.rotate_now(issued.id()).await?;
/// let changes = recording.take();
/// assert_eq!(changes.len(), 2);
/// assert_eq!(changes[1].writes().len(), 2); // The new key, and the old one, which is revoked.
///
/// let store = MemoryStore::new(); // The store to be tested.
/// for change in &changes {
///     store.commit(change).await?;
/// }
/// let record = store.get(ring.realm(), rotated.id()).await?;
/// assert_eq!(record.as_ref(), Some(rotated.record()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// A revocation is no change, but a call of [`KeyStore::revoke`]. `tower-api-key-contract` is the whole suite for a
/// store.
#[derive(Debug, Clone, Default)]
pub struct RecordingStore {
    inner: MemoryStore,
    applied: Arc<Mutex<Vec<Change>>>,
}

impl RecordingStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The changes since the last call.
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut self.applied.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyStore for RecordingStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.inner.find(realm, digest)
    }

    fn index(&self, realm: &Realm) -> Option<&Index> {
        self.inner.index(realm)
    }

    fn on_change(&self, listener: Weak<dyn ChangeListener>) {
        self.inner.on_change(listener);
    }

    fn identity(&self) -> Option<StoreId> {
        self.inner.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        // The lock is held over the commit, so that the changes are in the order in which they were applied.
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = at_once(self.inner.commit(change));
        if committed.is_ok() {
            applied.push(change.clone());
        }
        Box::pin(ready(committed))
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        self.inner.revoke(realm, target, revocation, by)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.inner.get(realm, id)
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        self.inner.get_many(realm, ids)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.inner.list(realm, query)
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        self.inner.realms()
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.inner.purge(realm, ended_by, by)
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        self.inner.history(realm, query)
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.inner.forget_history(realm, before, by)
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        self.inner.claim_expiry_notices(realm, ladder, now, limit)
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.record_uses(realm, uses)
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        self.inner.last_uses(realm, ids)
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.record_usage(realm, usages)
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        self.inner.usages(realm, ids)
    }
}
