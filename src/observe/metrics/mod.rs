//! Events as metrics, for the facade `metrics`.

mod outcomes;

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, counter, describe_counter};

use self::outcomes::Outcomes;
use super::dropped;
use super::event::{Event, EventKind};
use super::observer::Observer;
use crate::access::realm::Realm;

const EVENTS: &str = "api_key_events_total";

/// The words of the kinds that are no outcome of a request.
const WORDS: [&str; 21] = [
    "key_in_url",
    "key_misplaced",
    "reuse",
    "issued",
    "imported",
    "moved",
    "move_failed",
    "rotated",
    "regranted",
    "narrowed",
    "described",
    "revoked",
    "expires_soon",
    "upkeep_failed",
    "store_reloaded",
    "store_reload_failed",
    "replica_fresh",
    "replica_stale",
    "replica_reset",
    "replica_diverged",
    OTHER,
];
/// A kind that is not in the list.
const OTHER: &str = "other";

/// Counts each [`Event`] in the facade `metrics`. Needs the feature `metrics`.
///
/// [`KeyRingBuilder::metrics`](crate::KeyRingBuilder::metrics) gives a ring one, and measures its look-ups too. This
/// type is for what has an observer of its own: a replica, a keys file, a guard.
///
/// | counter | labels |
/// |---|---|
/// | `api_key_requests_total` | `realm`, `outcome`: `authenticated` or [`RejectionKind::as_str`](crate::RejectionKind::as_str), `cause`: [`InvalidCause::as_str`](crate::InvalidCause::as_str) of an invalid key, else `none` |
/// | `api_key_events_total` | `realm`, `event`: [`EventKind::as_str`] of all other events |
/// | `api_key_events_dropped_total` | `realm`: events that an observer did not take, because it panicked, or [because it says so](Self::dropped) |
///
/// No label names a key, a subject or anything else that a client sends. All series exist from the start, with the
/// value 0, and no request adds one. The counters belong to the recorder that is installed when the observer is made:
/// install it first.
///
/// ```
/// use tower_api_key::{MetricsObserver, RequireScopeLayer};
///
/// let guard = RequireScopeLayer::new("orders:write").observer(MetricsObserver::new());
/// ```
#[derive(Clone)]
pub struct MetricsObserver(Arc<Counters>);

struct Counters {
    outcomes: Outcomes,
    /// In the order of the words.
    events: [Counter; WORDS.len()],
}

impl MetricsObserver {
    /// An observer of what is of no realm, or of several. The label `realm` is empty.
    pub fn new() -> Self {
        Self::with_label("")
    }

    pub(crate) fn of_realm(realm: &Realm) -> Self {
        Self::with_label(realm.as_str())
    }

    fn with_label(realm: &str) -> Self {
        describe_counter!(EVENTS, "Events of keys other than outcomes of requests.");
        dropped::register(realm);
        let event = |word| counter!(EVENTS, "realm" => realm.to_owned(), "event" => word);
        Self(Arc::new(Counters {
            outcomes: Outcomes::new(realm),
            events: WORDS.map(event),
        }))
    }

    /// Counts an event that an observer has not taken.
    ///
    /// ```
    /// use std::sync::mpsc::sync_channel;
    /// use tower_api_key::{KeyRing, MetricsObserver, observer_fn, store::MemoryStore};
    ///
    /// let (sender, receiver) = sync_channel(1_000);
    /// let audit = observer_fn(move |event| {
    ///     if sender.try_send(format!("{event:?}")).is_err() {
    ///         MetricsObserver::dropped(event);
    ///     }
    /// });
    /// let ring = KeyRing::builder("acme").metrics().observer(audit).build(MemoryStore::new())?;
    /// # drop(receiver);
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn dropped(event: &Event<'_>) {
        dropped::count(event);
    }
}

impl Default for MetricsObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, event: &Event<'_>) {
        match event.kind() {
            EventKind::Authenticated => self.0.outcomes.authenticated(),
            EventKind::Rejected { kind, cause } => self.0.outcomes.rejected(kind, cause),
            kind => {
                let word = kind.as_str();
                let place = WORDS.iter().position(|it| *it == word);
                self.0.events[place.unwrap_or(WORDS.len() - 1)].increment(1);
            }
        }
    }
}

impl fmt::Debug for MetricsObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsObserver(…)")
    }
}
