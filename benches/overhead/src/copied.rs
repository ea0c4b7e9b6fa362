//! A store that answers from a copy whose proof of freshness a clock ends, as a replica is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::{
    BoxFuture, Change, Found, Freshness, Index, KeyStore, ListQuery, Lookup, MemoryStore, Page,
    Revoked, StoreError, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, KeyRing, Realm, Revocation, Timestamp};

use crate::subject::now;

/// The records of a page of a load.
const PAGE: usize = 5_000;

/// The records of a ring, copied in the order and in the pages in which a replica loads them. Requests read what they
/// would read of a replica, and nothing else is measured.
pub(crate) struct Copied {
    store: MemoryStore,
    index: Index,
}

impl Copied {
    /// A copy of all records of this ring, whose store this is.
    pub(crate) fn of(ring: &KeyRing, store: &MemoryStore) -> Self {
        let freshness = Freshness::leased();
        let asked = freshness.ask().unwrap();
        let index = Index::new(freshness);
        let mut records = now(ring.list(&ListQuery::new())).unwrap().to_vec();
        records
            .sort_unstable_by(|one, other| one.digest().as_bytes().cmp(other.digest().as_bytes()));
        for page in records.chunks(PAGE) {
            // Not the records of the store, of which another candidate has brought lines into the cache.
            let page = page.iter().map(|record| Arc::new(KeyRecord::clone(record)));
            let page: Vec<_> = page.collect();
            for record in &page {
                index.put(Arc::clone(record));
            }
        }
        index.freshness().renew(asked, Duration::MAX);
        Self {
            store: store.clone(),
            index,
        }
    }
}

impl KeyStore for Copied {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn index(&self, _: &Realm) -> Option<&Index> {
        Some(&self.index)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.commit(change)
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        self.store.revoke(realm, target, revocation, by)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.store.get(realm, id)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.store.list(realm, query)
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.store.purge(realm, ended_by, by)
    }
}

impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copied").finish_non_exhaustive()
    }
}
