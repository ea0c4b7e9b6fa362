//! A ring over a transaction of its store: its changes are announced once that is committed.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::acceptance::Acceptance;
use super::{Inner, KeyRing};
use crate::key::KeyId;
use crate::observe::event::HeldEvent;
use crate::observe::observed::Observed;
use crate::observe::observer_fn::observer_fn;
use crate::ring::owners::AskedOwners;
use crate::ring::watchers::Watchers;
use crate::store::{KeyStore, StoreId};
use crate::support::sync;

/// The changes of rings in a transaction that are not announced yet.
///
/// A store with transactions makes one for each transaction that an application begins, runs the operations
/// of [`KeyRing::over`] there, and hands it out at the end. `tower_api_key_postgres::InTransaction` is built on
/// it.
///
/// The application calls [`announce`](Self::announce) after the commit, and drops it if the transaction is
/// rolled back. It includes changes that a savepoint of the application has undone.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use tower_api_key::{Grant, KeyRing, Unannounced, observer_fn, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let events = Arc::new(AtomicU64::new(0));
/// let count = Arc::clone(&events);
/// let store = MemoryStore::new();
/// let ring = KeyRing::builder("acme")
///     .observer(observer_fn(move |_| {
///         count.fetch_add(1, Ordering::Relaxed);
///     }))
///     .build(store.clone())?;
///
/// // A database passes a store here whose calls are statements in the transaction.
/// let mut unannounced = Unannounced::new();
/// let within = ring.over(store, &mut unannounced);
/// let issued = within.issue(Grant::new("alice")).await?;
/// unannounced.changed(issued.id());
/// assert_eq!(events.load(Ordering::Relaxed), 0);
///
/// // The transaction is committed here.
/// unannounced.announce();
/// assert_eq!(events.load(Ordering::Relaxed), 1);
/// # Ok::<(), tower_api_key::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "observers and watches hear of nothing before it is announced"]
#[derive(Default)]
pub struct Unannounced {
    held: Arc<Held>,
    rings: Vec<KeyRing>,
}

/// The events and wake-ups of a transaction, held back until the commit.
#[derive(Default)]
struct Held(Mutex<News>);

#[derive(Default)]
struct News {
    events: Vec<(Observed, HeldEvent)>,
    changed: Vec<KeyId>,
}

impl Held {
    fn news(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unannounced {
    /// Without a ring, and without a change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the watches of a key check it once this is announced. A store calls it for each record that a
    /// change or a revocation in the transaction has written.
    pub fn changed(&self, id: KeyId) {
        self.held.news().changed.push(id);
    }

    /// Notifies the observers of the rings, and has the watches of the keys check.
    ///
    /// Call it once the transaction is committed. Without it, observers receive no event for the
    /// changes, and watches notice them at their [interval](crate::KeyRingBuilder::watch_interval). If
    /// the commit failed because the connection was lost, it may have been applied: read the keys first.
    pub fn announce(self) {
        let News { events, changed } = std::mem::take(&mut *self.held.news());
        for ring in &self.rings {
            for &id in &changed {
                ring.0.watchers.tell(id);
            }
        }
        for (observer, held) in &events {
            observer.tell(|| held.event());
        }
    }
}

impl fmt::Debug for Unannounced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unannounced").finish_non_exhaustive()
    }
}

impl KeyRing {
    /// The store of this ring, if it is of this type and shows itself
    /// ([`KeyStore::as_any`](crate::store::KeyStore::as_any)). The rules and limits of the ring do not hold for
    /// changes that you commit to the store directly.
    pub fn store_as<S: KeyStore>(&self) -> Option<&S> {
        let store: &dyn Any = self.0.store.as_any()?;
        store.downcast_ref()
    }

    /// Whether the records of this ring are those of the store with this
    /// [identity](crate::store::KeyStore::identity).
    pub fn is_over(&self, store: StoreId) -> bool {
        self.0.store.identity() == Some(store)
    }

    /// The same ring over another view of its store, such as a transaction. The rules, the settings and the
    /// clock are those of this ring. Its events and wake-ups are held back in `unannounced`, which has an
    /// example.
    ///
    /// The view must hold the records of this ring's store. The ring is for changes: it asks for no
    /// [unknown key](crate::UnknownKeys), asks no [owner](crate::Owners) before it issues a key, and tracks no uses. Build no layer over it, because keys that are not
    /// committed yet would be accepted. Drop it before [`announce`](Unannounced::announce): no one is notified
    /// of a later change through it.
    #[must_use]
    pub fn over(&self, view: impl KeyStore, unannounced: &mut Unannounced) -> Self {
        let inner = &self.0;
        unannounced.rings.push(self.clone());
        let (told, held) = (inner.observer.clone(), Arc::clone(&unannounced.held));
        let observer = observer_fn(move |event| {
            let event = HeldEvent::of(event);
            held.news().events.push((told.clone(), event));
        });
        let view = Inner {
            store: Arc::new(view),
            index: None,
            clock: inner.clock.clone(),
            realm: inner.realm.clone(),
            format: inner.format.clone(),
            digester: inner.digester.clone(),
            policy: inner.policy.clone(),
            lookup_timeout: inner.lookup_timeout,
            waiting: inner.waiting.anew(),
            // Within a transaction no key is looked up.
            #[cfg(feature = "metrics")]
            meter: None,
            accepts_imports: inner.accepts_imports,
            form: inner.form.clone(),
            accepts_sanctum: inner.accepts_sanctum,
            unknown_keys: None,
            owners: inner.owners.as_ref().map(AskedOwners::of_verdicts),
            latest_end: AtomicU64::new(inner.latest_end.load(Ordering::Relaxed)),
            revokes_on_reuse: inner.revokes_on_reuse,
            observer: Observed::by(observer),
            watchers: sync::Arc::new(Watchers::default()),
            watch_interval: inner.watch_interval,
            uses: None,
            noting: None,
            acceptance: Acceptance::of(inner.owners.is_some()),
            upkeep_interval: inner.upkeep_interval,
            retention: inner.retention,
            expiry_notices: inner.expiry_notices.clone(),
        };
        Self(Arc::new(view), self.1.clone())
    }
}
