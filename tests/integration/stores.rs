//! Stores with scripted answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tower_api_key::store::{BoxFuture, Change, Found, KeyStore, Lookup, MemoryStore, StoreError};
use tower_api_key::{
    KeyDigest, KeyId, KeyRecord, KeyRecordParts, KeyRing, KeyRingBuilder, ManualClock, Realm,
};

use crate::support::START;

/// The result of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The result from the records.
    Honest,
    /// An error of the store.
    Error,
    /// A panic of the store.
    Panic,
}

type Edit = Box<dyn Fn(&mut KeyRecordParts) + Send>;

/// Records in memory, with look-ups that fail, panic, wait or lie.
#[derive(Clone, Default)]
pub(crate) struct ScriptedStore {
    records: MemoryStore,
    script: Arc<Mutex<Script>>,
    finds: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Script {
    at_once: Option<Outcome>,
    holds: bool,
    held: Vec<Option<oneshot::Sender<Outcome>>>,
    edits: HashMap<KeyId, Edit>,
}

impl ScriptedStore {
    /// Answers every look-up at once from now on.
    pub(crate) fn answer(&self, outcome: Outcome) {
        let mut script = self.script.lock().unwrap();
        script.holds = false;
        script.at_once = Some(outcome);
    }

    /// Keeps every look-up from now on pending until it is [released](Self::release).
    pub(crate) fn hold(&self) {
        self.script.lock().unwrap().holds = true;
    }

    /// Ends a held look-up, by its number in the order of arrival. Returns whether a caller still
    /// waited for it.
    pub(crate) fn release(&self, index: usize, outcome: Outcome) -> bool {
        let sender = self.script.lock().unwrap().held[index]
            .take()
            .expect("released once");
        sender.send(outcome).is_ok()
    }

    /// The number of held look-ups, including released ones.
    pub(crate) fn held(&self) -> usize {
        self.script.lock().unwrap().held.len()
    }

    /// The number of look-ups.
    pub(crate) fn finds(&self) -> usize {
        self.finds.load(Ordering::Relaxed)
    }

    /// Changes a record on its way out.
    pub(crate) fn edit(&self, id: KeyId, edit: impl Fn(&mut KeyRecordParts) + Send + 'static) {
        let mut script = self.script.lock().unwrap();
        script.edits.insert(id, Box::new(edit));
    }

    fn end(&self, outcome: Outcome, realm: &Realm, digest: &KeyDigest) -> Found {
        match outcome {
            Outcome::Error => return Err(StoreError::unavailable("the disk is gone")),
            Outcome::Panic => panic!("the store panicked, as the test told it to"),
            Outcome::Honest => {}
        }
        let Lookup::Ready(found) = self.records.find(realm, digest) else {
            unreachable!("a memory store answers at once");
        };
        Ok(found?.map(|record| {
            let mut parts = record.to_parts();
            if let Some(edit) = self.script.lock().unwrap().edits.get(&parts.id) {
                edit(&mut parts);
            }
            Arc::new(KeyRecord::from(parts))
        }))
    }
}

impl KeyStore for ScriptedStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.finds.fetch_add(1, Ordering::Relaxed);
        let mut script = self.script.lock().unwrap();
        if !script.holds {
            let outcome = script.at_once.unwrap_or(Outcome::Honest);
            drop(script);
            return Lookup::Ready(self.end(outcome, realm, digest));
        }
        let (sender, released) = oneshot::channel();
        script.held.push(Some(sender));
        let (store, realm, digest) = (self.clone(), realm.clone(), *digest);
        Lookup::Pending(Box::pin(async move {
            let outcome = released.await.unwrap_or(Outcome::Error);
            store.end(outcome, &realm, &digest)
        }))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.records.commit(change)
    }

    crate::support::forward!(records: revoke, get, list, purge, record_uses, last_uses, claim_expiry_notices);
}

/// A ring `acme` with the realm `orders`, as [`support::ring`](crate::support::ring), over a
/// scripted store.
pub(crate) fn scripted_ring() -> (KeyRing, ManualClock, ScriptedStore) {
    scripted_ring_with(|builder| builder)
}

/// The same, built with more options.
pub(crate) fn scripted_ring_with(
    options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
) -> (KeyRing, ManualClock, ScriptedStore) {
    let clock = ManualClock::new(START);
    let store = ScriptedStore::default();
    let builder = KeyRing::builder("acme").realm("orders");
    let ring = options(builder.clock(clock.clone()))
        .build(store.clone())
        .unwrap();
    (ring, clock, store)
}
