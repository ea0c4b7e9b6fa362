//! Who changes a key.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_api_key::store::{HistoryKind, HistoryQuery, MemoryStore, StoreError, StoreErrorKind};
use tower_api_key::{
    Actor, Description, ErrorKind, Event, Grant, Import, KeyRing, ManualClock, OldKey,
    RevocationReason, ScopeSet, Timestamp, Unannounced, observer_fn,
};

use crate::support::{IMPORTED, START};

const REASON: RevocationReason = RevocationReason::KeyCompromise;

/// The kind of each event, with its actor.
type Seen = Arc<Mutex<Vec<(String, Option<Actor>)>>>;

fn seen_by(seen: &Seen, prefix: &str, store: &MemoryStore) -> KeyRing {
    let seen = Arc::clone(seen);
    let note = move |event: &Event<'_>| {
        let kind = event.kind().as_str().to_owned();
        seen.lock().unwrap().push((kind, event.actor().cloned()));
    };
    KeyRing::builder(prefix)
        .accept_imports()
        .observer(observer_fn(note))
        .build(store.clone())
        .unwrap()
}

/// Every operation of a ring, on keys of its own.
async fn operate(ring: &KeyRing, visitors: &KeyRing) {
    let grant = || Grant::new("alice").scopes(["read", "write"]);
    let hour = Duration::from_hours(1);
    let first = ring.issue(grant()).await.unwrap();
    let second = ring.rotate(first.id(), hour).await.unwrap();
    let read: ScopeSet = "read".parse().unwrap();
    ring.narrow(second.id(), &read).await.unwrap();
    let label = Description::new().label("laptop");
    ring.describe(second.id(), label).await.unwrap();
    let third = ring.rotate_now(second.id()).await.unwrap();
    let fourth = ring.regrant(third.id(), grant()).await.unwrap();
    ring.revoke_lineage(fourth.id(), REASON).await.unwrap();
    let visitor = visitors.issue(Grant::new("visitor")).await.unwrap();
    ring.promote(visitors, visitor.id(), grant()).await.unwrap();
    ring.revoke_subject("alice", REASON).await.unwrap();
    let lasting = Grant::new("carol").expires_in(hour);
    let carol = ring.import_plaintext(lasting, IMPORTED).await.unwrap();
    ring.revoke(carol.id(), REASON).await.unwrap();
    let import = Import::new(Grant::new("dave").expires_in(hour));
    let old = OldKey::plaintext("k-4f9A7YqZr01mLw8Vx6pTe2Nd");
    ring.import_many([(import, old)]).await.unwrap();
}

#[tokio::test]
async fn each_event_of_a_change_says_who_made_it() {
    let (seen, store) = (Seen::default(), MemoryStore::new());
    let ring = seen_by(&seen, "acme", &store);
    let visitors = seen_by(&seen, "visit", &store);
    let ops = ring.acting_as("ops@example.com").unwrap();
    assert_eq!(ops.actor().unwrap(), "ops@example.com");
    assert_eq!(ring.actor(), None);

    operate(&ops, &visitors).await;
    let told = std::mem::take(&mut *seen.lock().unwrap());
    let nobody: Vec<_> = told.iter().filter(|(_, actor)| actor.is_none()).collect();
    // The visitor's own ring issued the temporary key, and `ops` ended it.
    assert_eq!(nobody, [&("issued".to_owned(), None)]);
    for kind in [
        "issued",
        "rotated",
        "narrowed",
        "described",
        "regranted",
        "revoked",
        "imported",
    ] {
        assert!(
            told.iter().any(|(it, by)| it == kind && by.is_some()),
            "{kind}"
        );
    }

    // The ring that `ops` came from still says nothing.
    ring.issue(Grant::new("erin")).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [("issued".to_owned(), None)]);
}

#[tokio::test]
async fn an_event_that_is_held_back_keeps_its_actor() {
    let (seen, store) = (Seen::default(), MemoryStore::new());
    let ops = seen_by(&seen, "acme", &store).acting_as("ops").unwrap();
    let mut unannounced = Unannounced::new();
    let within = ops.over(store, &mut unannounced);
    within.issue(Grant::new("alice")).await.unwrap();
    drop(within);
    assert!(seen.lock().unwrap().is_empty());
    unannounced.announce();
    let ops = Actor::new("ops").unwrap();
    assert_eq!(*seen.lock().unwrap(), [("issued".to_owned(), Some(ops))]);
}

/// Rule 6: a secret that is passed as the actor would be written wherever changes are.
#[test]
fn r06_a_key_is_no_actor() {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let key = "acme_0123456789Ab_0123456789ABCDEFGHIJabcdefghij12";
    for text in [key, &format!("ops {key}"), "", "=ops", "o\u{1b}ps"] {
        let error = ring.acting_as(text).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidActor, "{text:?}");
        assert!(!error.to_string().contains("0123456789AB"), "{error}");
    }
}

#[tokio::test]
async fn a_history_is_forgotten_by_age_and_not_by_a_clock_that_fails() {
    let clock = ManualClock::new(START);
    let store = MemoryStore::with_history(clock.clone());
    let ring = KeyRing::builder("acme").clock(clock.clone());
    let ring = ring.build(store.clone()).unwrap();
    ring.issue(Grant::new("alice")).await.unwrap();
    clock.advance(Duration::from_hours(1));
    ring.issue(Grant::new("bob")).await.unwrap();
    let ops = ring.acting_as("ops").unwrap();
    assert_eq!(
        ops.forget_history(Duration::from_hours(1)).await.unwrap(),
        0
    );
    let minutes = Duration::from_mins(59);
    assert_eq!(ops.forget_history(minutes).await.unwrap(), 1);
    let left = ring.history(&HistoryQuery::new()).await.unwrap();
    let left: Vec<_> = left.iter().map(|it| (it.kind(), it.actor())).collect();
    let ops = Actor::new("ops").unwrap();
    let due = [
        (HistoryKind::Forgotten, Some(&ops)),
        (HistoryKind::Added, None),
    ];
    assert_eq!(left, due);

    let failing = KeyRing::builder("acme").clock(ManualClock::new(Timestamp::MAX));
    let failing = failing.build(store).unwrap();
    assert_eq!(failing.forget_history(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(ring.history(&HistoryQuery::new()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_store_without_a_history_says_so() {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    for error in [
        ring.history(&HistoryQuery::new()).await.map(drop),
        ring.forget_history(Duration::ZERO).await.map(drop),
    ] {
        let error = error.unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<StoreError>().unwrap();
        assert_eq!(source.kind(), StoreErrorKind::Unsupported);
    }
}
