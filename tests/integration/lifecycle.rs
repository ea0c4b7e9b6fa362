//! Keys that are replaced, shrink and end, and refusals that change nothing.

mod clocks;
mod conflicts;
mod describing;
mod ending;
mod horizons;
mod limits;
mod promoting;
mod refusals;
mod refused_promotions;
mod replacing;
mod stricter;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_api_key::store::{Change, KeyStore, ListQuery, MemoryStore};
use tower_api_key::{
    Error, ErrorKind, InvalidCause, Issued, KeyRecord, KeyRing, KeyRingBuilder, ManualClock,
    VerifyErrorKind,
};

use crate::ring::stores::Tapped;
use crate::support::START;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Rings over one store in memory, with a common clock and a copy of every commit.
struct House {
    clock: ManualClock,
    store: MemoryStore,
    /// The second store of a promotion between two.
    other: MemoryStore,
    changes: Arc<Mutex<Vec<Change>>>,
    /// The realms of all its rings.
    realms: Mutex<BTreeSet<String>>,
}

impl House {
    fn new() -> Self {
        Self {
            clock: ManualClock::new(START),
            store: MemoryStore::new(),
            other: MemoryStore::new(),
            changes: Arc::default(),
            realms: Mutex::default(),
        }
    }

    /// A ring of this realm whose commits are not kept.
    fn ring(&self, realm: &str, options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder) -> KeyRing {
        self.over(self.store.clone(), realm, options)
    }

    /// A ring of this realm whose commits are kept.
    fn recorded(
        &self,
        realm: &str,
        options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
    ) -> KeyRing {
        let store = Tapped::new(&self.store).recording(&self.changes);
        self.over(store, realm, options)
    }

    fn over(
        &self,
        store: impl KeyStore,
        realm: &str,
        options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
    ) -> KeyRing {
        self.realms.lock().unwrap().insert(realm.to_owned());
        let builder = KeyRing::builder("acme").realm(realm);
        options(builder.clock(self.clock.clone()))
            .build(store)
            .unwrap()
    }

    /// The commits since the last call.
    fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap())
    }

    /// Every record of every ring's realm, in both stores.
    async fn records(&self) -> Vec<Arc<KeyRecord>> {
        let realms = self.realms.lock().unwrap().clone();
        let mut records = Vec::new();
        for realm in realms {
            let realm = realm.parse().unwrap();
            let query = ListQuery::new();
            for store in [&self.store, &self.other] {
                records.extend(store.list(&realm, &query).await.unwrap());
            }
        }
        records
    }

    /// The outcome is this error, and the stores have not changed.
    async fn assert_refused<T: std::fmt::Debug>(
        &self,
        outcome: impl Future<Output = Result<T, Error>>,
        kind: ErrorKind,
        text: &str,
    ) {
        let before = self.records().await;
        let error = outcome.await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        assert_eq!(self.records().await, before, "{text}");
    }
}

/// The verdict of a ring on a key: its scopes, or the cause of the refusal.
async fn verdict(ring: &KeyRing, issued: &Issued) -> Result<String, InvalidCause> {
    match ring.verify(issued.secret().expose().as_bytes()).await {
        Ok(key) => Ok(key.scopes().to_string()),
        Err(error) => match error.kind() {
            VerifyErrorKind::Invalid(cause) => Err(cause),
            other => panic!("{other:?}"),
        },
    }
}
