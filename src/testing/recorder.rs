//! An observer that keeps what it receives.

use std::sync::{Arc, Mutex, PoisonError};

use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::observe::event::{Event, EventKind};
use crate::observe::observer::Observer;
use crate::verdict::KeyPlace;

/// An observer that keeps the events that it receives, in their order. A clone is another handle to the same list.
///
/// ```
/// use tower_api_key::{EventKind, Grant, KeyRing, store::MemoryStore, testing::Recorder};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let recorder = Recorder::new();
/// let ring = KeyRing::builder("acme").observer(recorder.clone()).build(MemoryStore::new())?;
/// let issued = ring.issue(Grant::new("alice")).await?;
///
/// let events = recorder.take();
/// assert_eq!(events[0].kind(), EventKind::Issued);
/// assert_eq!(events[0].key_id(), Some(issued.id()));
/// assert!(recorder.take().is_empty());
/// # Ok::<(), tower_api_key::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Recorded>>>);

impl Recorder {
    /// An observer that has received nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events since the last call.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The kinds of the events since the last call of [`take`](Self::take).
    pub fn kinds(&self) -> Vec<EventKind> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(Recorded::kind).collect()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Recorded::of(event));
    }
}

/// An event that a [`Recorder`] received. It has what the [`Event`] had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    kind: EventKind,
    realm: Option<Realm>,
    key_id: Option<KeyId>,
    claimed_key_id: Option<KeyId>,
    place: Option<KeyPlace>,
    subject: Option<String>,
    failure: Option<String>,
}

impl Recorded {
    fn of(event: &Event<'_>) -> Self {
        Self {
            kind: event.kind(),
            realm: event.realm().cloned(),
            key_id: event.key_id(),
            claimed_key_id: event.claimed_key_id(),
            place: event.place(),
            subject: event.subject().map(str::to_owned),
            failure: event.failure().map(ToString::to_string),
        }
    }

    /// As [`Event::kind`].
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// As [`Event::realm`].
    pub fn realm(&self) -> Option<&Realm> {
        self.realm.as_ref()
    }

    /// As [`Event::key_id`].
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// As [`Event::claimed_key_id`].
    pub fn claimed_key_id(&self) -> Option<KeyId> {
        self.claimed_key_id
    }

    /// As [`Event::place`].
    pub fn place(&self) -> Option<KeyPlace> {
        self.place
    }

    /// As [`Event::subject`].
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The text of [`Event::failure`], without its sources.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}
