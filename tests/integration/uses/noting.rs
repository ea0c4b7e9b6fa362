//! A store that counts the calls of upkeep.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tower_api_key::store::{BoxFuture, KeyStore, MemoryStore, StoreError, StoreErrorKind};
use tower_api_key::{Actor, KeyId, Realm, Timestamp};

type Uses = Vec<(KeyId, Timestamp)>;

/// The outcome of an attempt to record uses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Taking {
    Honest,
    Fail,
    Panic,
    ReadOnly,
    /// Holds them until it is released.
    Hold,
}

/// The outcome of a purge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purging {
    Honest,
    Fail,
    Panic,
    ReadOnly,
    Hang,
}

/// A store that counts the calls of upkeep.
#[derive(Clone)]
pub(crate) struct Noting {
    store: MemoryStore,
    taking: Arc<Mutex<Taking>>,
    released: Arc<Notify>,
    told: Arc<Mutex<Vec<Uses>>>,
    purges: Arc<AtomicUsize>,
    purging: Arc<Mutex<Purging>>,
}

impl Noting {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            taking: Arc::new(Mutex::new(Taking::Honest)),
            released: Arc::default(),
            told: Arc::default(),
            purges: Arc::default(),
            purging: Arc::new(Mutex::new(Purging::Honest)),
        }
    }

    pub(crate) fn take(&self, taking: Taking) {
        *self.taking.lock().unwrap() = taking;
    }

    /// The uses that it received since the last call.
    pub(crate) fn told(&self) -> Vec<Uses> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// Accepts the uses that it [holds](Taking::Hold).
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    pub(crate) fn purge(&self, purging: Purging) {
        *self.purging.lock().unwrap() = purging;
    }

    /// The number of purges.
    pub(crate) fn purges(&self) -> usize {
        self.purges.load(Ordering::Relaxed)
    }
}

impl KeyStore for Noting {
    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.purges.fetch_add(1, Ordering::Relaxed);
        let purging = *self.purging.lock().unwrap();
        Box::pin(async move {
            match purging {
                Purging::Honest => self.store.purge(realm, ended_by, by).await,
                Purging::Fail => Err(StoreErrorKind::Unavailable.into()),
                Purging::Panic => panic!("the store panicked at a purge"),
                Purging::ReadOnly => Err(StoreErrorKind::ReadOnly.into()),
                Purging::Hang => std::future::pending().await,
            }
        })
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.told.lock().unwrap().push(uses.to_vec());
        let taking = *self.taking.lock().unwrap();
        Box::pin(async move {
            match taking {
                Taking::Honest => {}
                Taking::Fail => return Err(StoreErrorKind::Unavailable.into()),
                Taking::Panic => panic!("the store panicked at a last use"),
                Taking::ReadOnly => return Err(StoreErrorKind::ReadOnly.into()),
                Taking::Hold => self.released.notified().await,
            }
            self.store.record_uses(realm, uses).await
        })
    }

    crate::support::forward!(store: find, commit, revoke, get, list, last_uses, claim_expiry_notices);
}
