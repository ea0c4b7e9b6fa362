//! What a replica and the future that follows have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::inbox::Inbox;
use super::memory::{Changed, Memory};
use super::{Feed, Realms};
use crate::observe::event::{Event, EventKind};
use crate::observe::observed::Observed;
use crate::store::{Asked, ChangeListener, Freshness, StoreError};
use crate::support::caught::caught;
use crate::support::process;
use crate::time::Clock;

pub(super) struct Shared {
    pub(super) source: Arc<dyn Feed>,
    pub(super) realms: Realms,
    pub(super) clock: Arc<dyn Clock>,
    /// How old the records may be to answer.
    #[cfg(feature = "metrics")]
    pub(super) bound: Duration,
    /// How long a change waits for the pull after it.
    pub(super) patience: Duration,
    pub(super) memory: Memory,
    pub(super) inbox: Inbox,
    /// Whether a pull can prove that the records are fresh.
    pub(super) is_following: AtomicBool,
    /// The process that has made it.
    process: process::Number,
    observer: Observed,
    proof: Proof,
    /// Whether the last event that observers received says that the records are fresh.
    is_told_fresh: AtomicBool,
    last_failure: Mutex<Option<StoreError>>,
    listeners: Mutex<Vec<Weak<dyn ChangeListener>>>,
}

/// What the last pull has proven, in nanoseconds.
#[derive(Default)]
struct Proof {
    /// The elapsed time at which it was asked, and one more. 0: there was none.
    asked: AtomicU64,
    /// The longest staleness that any replica may still go by.
    longest: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        source: Arc<dyn Feed>,
        realms: Realms,
        clock: Arc<dyn Clock>,
        memory: Memory,
        patience: Duration,
        observer: Observed,
    ) -> Self {
        Self {
            source,
            realms,
            clock,
            #[cfg(feature = "metrics")]
            bound: Duration::ZERO,
            patience,
            memory,
            process: process::number(),
            observer,
            inbox: Inbox::default(),
            is_following: AtomicBool::new(false),
            proof: Proof::default(),
            is_told_fresh: AtomicBool::new(false),
            last_failure: Mutex::default(),
            listeners: Mutex::default(),
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn bounded_by(self, bound: Duration) -> Self {
        Self { bound, ..self }
    }

    /// Whether this process is a child of the one that has made it, which has no thread that follows, and shares the
    /// connections of the store with its parent.
    pub(super) fn is_forked(&self) -> bool {
        self.process != process::number()
    }

    pub(super) fn freshness(&self) -> &Freshness {
        self.memory.index().freshness()
    }

    /// All that was known at this moment is held.
    pub(super) fn renew(&self, asked: Asked, lease: Duration, longest: Duration) {
        self.proof
            .longest
            .store(nanoseconds(longest), Ordering::Relaxed);
        let at = nanoseconds(asked.at()).saturating_add(1);
        self.proof.asked.store(at, Ordering::Relaxed);
        self.freshness().renew(asked, lease);
        self.fail(None);
        if self.freshness().is_fresh() {
            for waiting in self.inbox.take_fresh() {
                waiting.send(());
            }
        }
        self.note_freshness();
    }

    /// How old the records may be.
    pub(super) fn staleness(&self) -> Option<Duration> {
        let asked = self.proof.asked.load(Ordering::Relaxed).checked_sub(1)?;
        let now = self.clock.elapsed()?;
        Some(now.saturating_sub(Duration::from_nanos(asked)))
    }

    pub(super) fn longest_staleness(&self) -> Duration {
        Duration::from_nanos(self.proof.longest.load(Ordering::Relaxed))
    }

    /// Tells once that the records have become fresh or stale.
    pub(super) fn note_freshness(&self) {
        let is_fresh = self.freshness().is_fresh();
        if self.is_told_fresh.swap(is_fresh, Ordering::Relaxed) == is_fresh {
            return;
        }
        if is_fresh {
            return self.tell(EventKind::ReplicaFresh, None);
        }
        self.tell(EventKind::ReplicaStale, Some(&self.why_stale()));
    }

    /// The failure of the last pull.
    pub(super) fn why_stale(&self) -> StoreError {
        let why = "no pull was in time: the future `Follow` was not polled, or a page took long";
        let failure = self.failure().clone();
        failure.unwrap_or_else(|| StoreError::unavailable(why))
    }

    pub(super) fn fail(&self, failure: Option<StoreError>) {
        *self.failure() = failure;
    }

    pub(super) fn tell(&self, kind: EventKind, failure: Option<&StoreError>) {
        self.observer.tell(|| {
            let failure = failure.map(|failure| failure as _);
            Event::without_record(kind, None, None).because_of(failure)
        });
    }

    /// Wakes those who watch what has changed.
    pub(super) fn announce(&self, changed: &Changed) {
        for record in &changed.diverged {
            let kind = EventKind::ReplicaDiverged;
            self.observer.tell(|| Event::about(kind, record));
        }
        if changed.ids.is_empty() {
            return;
        }
        let mut listening = Vec::new();
        self.listeners().retain(|listener| {
            let listener = listener.upgrade();
            let is_there = listener.is_some();
            listening.extend(listener);
            is_there
        });
        for listener in listening {
            caught(|| listener.changed(&changed.ids));
        }
    }

    pub(super) fn listen(&self, listener: Weak<dyn ChangeListener>) {
        let mut listeners = self.listeners();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(listener);
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<dyn ChangeListener>>> {
        let listeners = self.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> MutexGuard<'_, Option<StoreError>> {
        let failure = self.last_failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
