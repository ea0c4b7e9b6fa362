//! A ring over a transaction of its store: its changes are announced once that is committed.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Inner, KeyRing};
use crate::key::KeyId;
use crate::observe::event::{Event, HeldEvent};
use crate::observe::observer::Observed;
use crate::ring::watchers::Watchers;
use crate::store::{KeyStore, StoreId};
use crate::support::sync;

/// The events and wake-ups of a transaction, held back until the commit.
#[derive(Default)]
pub(crate) struct Held(Mutex<News>);

#[derive(Default)]
struct News {
    events: Vec<(Observed, HeldEvent)>,
    changed: Vec<KeyId>,
}

impl Held {
    fn news(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the watches of a key look at it.
    pub(crate) fn changed(&self, id: KeyId) {
        self.news().changed.push(id);
    }

    /// Wakes the watches of these rings, and passes each observer the events of its own ring.
    pub(crate) fn announce(&self, rings: &[KeyRing]) {
        let News { events, changed } = std::mem::take(&mut *self.news());
        for ring in rings {
            for &id in &changed {
                ring.0.watchers.tell(id);
            }
        }
        for (observer, held) in &events {
            observer.tell(|| held.event());
        }
    }
}

impl KeyRing {
    /// The store of this ring, if it is of this type.
    pub(crate) fn store_as<S: KeyStore>(&self) -> Option<&S> {
        let store: &dyn Any = self.0.store.as_any()?;
        store.downcast_ref()
    }

    /// Whether the records of this ring are those of this store.
    pub(crate) fn is_over(&self, store: StoreId) -> bool {
        self.0.store.identity() == Some(store)
    }

    /// The same ring over another view of its store. Its announcements are held back.
    pub(crate) fn over(&self, store: impl KeyStore, held: &Arc<Held>) -> Self {
        let inner = &self.0;
        let (told, held) = (inner.observer.clone(), Arc::clone(held));
        let observer = move |event: &Event<'_>| {
            let event = HeldEvent::of(event);
            held.news().events.push((told.clone(), event));
        };
        Self(Arc::new(Inner {
            store: Arc::new(store),
            memory: None,
            clock: Arc::clone(&inner.clock),
            realm: inner.realm.clone(),
            format: inner.format.clone(),
            digester: inner.digester.clone(),
            policy: inner.policy.clone(),
            lookup_timeout: inner.lookup_timeout,
            waiting: inner.waiting.anew(),
            accepts_imports: inner.accepts_imports,
            accepts_sanctum: inner.accepts_sanctum,
            // Within a transaction no key is looked up.
            unknown_keys: None,
            latest_end: AtomicU64::new(inner.latest_end.load(Ordering::Relaxed)),
            revokes_on_reuse: inner.revokes_on_reuse,
            observer: Observed::by(observer),
            watchers: sync::Arc::new(Watchers::default()),
            watch_interval: inner.watch_interval,
            uses: None,
            upkeep_interval: inner.upkeep_interval,
            retention: inner.retention,
        }))
    }
}
