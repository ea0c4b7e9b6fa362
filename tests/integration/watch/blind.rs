//! A store whose records cannot always be got.

use std::sync::{Arc, Mutex};

use tower_api_key::store::{
    BoxFuture, Change, Found, KeyStore, ListQuery, Lookup, MemoryStore, StoreError, StoreErrorKind,
};
use tower_api_key::{KeyDigest, KeyId, KeyRecord, Realm, Timestamp};

/// How a record is got.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Get {
    Honest,
    Fail,
    Panic,
    Hang,
}

/// A store that finds, and gets as it is told to.
#[derive(Clone)]
pub(crate) struct Blind {
    store: MemoryStore,
    get: Arc<Mutex<Get>>,
}

impl Blind {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            get: Arc::new(Mutex::new(Get::Honest)),
        }
    }

    pub(crate) fn answer(&self, get: Get) {
        *self.get.lock().unwrap() = get;
    }
}

impl KeyStore for Blind {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.commit(change)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        let get = *self.get.lock().unwrap();
        Box::pin(async move {
            match get {
                Get::Honest => self.store.get(realm, id).await,
                Get::Fail => Err(StoreErrorKind::Unavailable.into()),
                Get::Panic => panic!("the store panicked, as the test told it to"),
                Get::Hang => std::future::pending().await,
            }
        })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        self.store.list(realm, query)
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.store.purge(realm, ended_by)
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.record_uses(realm, uses)
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        self.store.last_uses(realm, ids)
    }
}
