//! A store whose records cannot always be read.

use std::sync::{Arc, Mutex};

use tower_api_key::store::{BoxFuture, Found, KeyStore, MemoryStore, StoreErrorKind};
use tower_api_key::{KeyId, Realm};

/// The outcome of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Get {
    Honest,
    Fail,
    Panic,
    Hang,
}

/// A store that finds records, and reads them as scripted.
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

    crate::support::forward!(store: find, commit, revoke, list, purge, record_uses, last_uses);
}
