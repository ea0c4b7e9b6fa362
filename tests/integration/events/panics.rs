//! If an observer panics, every verdict and every change is the same as without it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use tower::Layer;
use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key::{
    ApiKeyLayer, Event, EventKind, Grant, InvalidCause, KeyRing, ManualClock, Observer,
    RejectionKind, RequireScopeLayer, RevocationReason, VerifyErrorKind, observer_fn,
};

use super::Later;
use crate::support::{IMPORTED, Inner, START, issue, poll_once, send, with_key};
use crate::uses::noting::{Noting, Purging, Taking};

fn panicking(store: impl KeyStore) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .revoke_lineage_on_reuse()
        .observer(observer_fn(panic))
        .build(store)
        .unwrap()
}

fn panicking_importer() -> KeyRing {
    KeyRing::builder("acme")
        .accept_imports()
        .observer(observer_fn(panic))
        .build(MemoryStore::new())
        .unwrap()
}

fn panic(event: &Event<'_>) {
    panic!("the observer panicked on {}", event.kind().as_str());
}

async fn verdict(ring: &KeyRing, key: &str) -> Result<String, VerifyErrorKind> {
    ring.verify(key.as_bytes())
        .await
        .map(|key| key.scopes().to_string())
        .map_err(|error| error.kind())
}

/// The payload of a panic, which panics again if it is dropped.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic!("the observer's panic panicked");
    }
}

#[tokio::test]
async fn a_panic_that_panics_again_is_caught_too() {
    let ring = KeyRing::builder("acme")
        .observer(observer_fn(|_| std::panic::panic_any(Spiteful)))
        .build(MemoryStore::new())
        .unwrap();
    let issued = issue(&ring, "read").await;
    let service = ApiKeyLayer::new(ring).layer(Inner::new());
    let response = send(&service, with_key(issued.secret().expose())).await;
    assert_eq!(response.status, StatusCode::OK);
}

/// A client that can make an observer panic does not fill the memory.
#[tokio::test]
async fn r23_what_a_panic_leaves_is_dropped() {
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let (told, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let (counted, left) = (Arc::clone(&told), Arc::clone(&dropped));
    let ring = KeyRing::builder("acme")
        .observer(observer_fn(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::panic::panic_any(Counted(Arc::clone(&left)));
        }))
        .build(MemoryStore::new())
        .unwrap();
    let service = ApiKeyLayer::new(ring).layer(Inner::new());
    for _ in 0..3 {
        send(&service, with_key("nonsense")).await;
    }
    assert_eq!(told.load(Ordering::Relaxed), 3);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_panicking_observer_undoes_no_change() {
    for store in [true, false] {
        undoes_no_change(store).await;
    }
}

async fn undoes_no_change(later: bool) {
    let store = MemoryStore::new();
    let ring = if later {
        panicking(Later { store })
    } else {
        panicking(store)
    };
    let first = issue(&ring, "read write").await;
    let id = first.record().id();
    let second = ring.rotate(id, Duration::from_mins(1)).await.unwrap();
    let id = second.record().id();
    ring.narrow(id, &"read".parse().unwrap()).await.unwrap();
    let third = ring.rotate_now(id).await.unwrap();
    let key = third.secret().expose();
    assert_eq!(verdict(&ring, key).await, Ok("read".to_owned()));
    let grant = Grant::new("alice").scopes(["admin"]);
    let fourth = ring.regrant(third.record().id(), grant).await.unwrap();
    let last = fourth.secret().expose();
    assert_eq!(verdict(&ring, last).await, Ok("admin".to_owned()));

    let invalid = |cause| Err(VerifyErrorKind::Invalid(cause));
    assert_eq!(verdict(&ring, key).await, invalid(InvalidCause::Replaced));
    assert_eq!(
        verdict(&ring, last).await,
        invalid(InvalidCause::Revoked),
        "the lineage ends although its observer panicked"
    );
    let other = issue(&ring, "read").await;
    ring.revoke(other.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let key = other.secret().expose();
    assert_eq!(verdict(&ring, key).await, invalid(InvalidCause::Revoked));

    let customers = panicking(MemoryStore::new());
    let temporary = issue(&ring, "read").await.record().id();
    let real = customers.promote(&ring, temporary, Grant::new("alice"));
    let real = real.await.unwrap();
    let (id, reason) = (real.record().id(), RevocationReason::KeyCompromise);
    assert_eq!(customers.revoke_lineage(id, reason).await.unwrap(), 1);
    issue(&customers, "read").await;
    let ended = customers.revoke_subject("alice", reason).await.unwrap();
    assert_eq!(ended, 1);
    let importing = panicking_importer();
    let imported = importing.import_plaintext(
        Grant::new("alice").expires_in(std::time::Duration::from_hours(24)),
        IMPORTED,
    );
    assert_eq!(imported.await.unwrap().subject(), "alice");
}

#[tokio::test]
async fn a_panicking_observer_changes_no_verdict_on_a_request() {
    let store = MemoryStore::new();
    for ring in [
        panicking(store.clone()),
        panicking(Later {
            store: store.clone(),
        }),
    ] {
        let key = issue(&ring, "read").await;
        let key = key.secret().expose();
        let inner = Inner::new();
        let layer = ApiKeyLayer::new(ring.clone());
        let reads = layer.clone().require("read").layer(inner.clone());
        let writes = layer.clone().require("write").layer(inner.clone());
        let guard = RequireScopeLayer::new("write").observer(observer_fn(panic));
        let guarded = layer.layer(guard.layer(inner.clone()));
        let alone = guard.layer(inner.clone());

        let accepted = send(&reads, with_key(key)).await;
        assert_eq!((accepted.status, accepted.kind()), (StatusCode::OK, None));
        assert_eq!(inner.calls(), 1);
        let leaking = Request::builder().uri(format!("/?k={key}")).body(());
        for (response, kind) in [
            (send(&reads, Request::new(())).await, RejectionKind::Missing),
            (
                send(&reads, with_key("nonsense")).await,
                RejectionKind::Invalid,
            ),
            (
                send(&reads, leaking.unwrap()).await,
                RejectionKind::KeyInUrl,
            ),
            (
                send(&writes, with_key(key)).await,
                RejectionKind::InsufficientScope,
            ),
            (
                send(&guarded, with_key(key)).await,
                RejectionKind::InsufficientScope,
            ),
            (
                send(&alone, with_key(key)).await,
                RejectionKind::NotAuthenticated,
            ),
        ] {
            assert_eq!(response.kind(), Some(kind));
            assert_eq!(inner.calls(), 1, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_panicking_observer_ends_no_upkeep() {
    let (store, clock) = (Noting::new(), ManualClock::new(START));
    let failures = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&failures);
    let ring = KeyRing::builder("acme")
        .clock(clock.clone())
        .track_last_use()
        .observer(observer_fn(move |event| {
            if event.kind() == EventKind::UpkeepFailed {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            panic(event);
        }))
        .build(store.clone())
        .unwrap();
    let issued = issue(&ring, "read").await;
    let key = issued.secret().expose();
    assert_eq!(verdict(&ring, key).await, Ok("read".to_owned()));
    let mut upkeep = pin!(ring.upkeep());
    let mut turn = || assert!(poll_once(&mut upkeep).is_pending());
    store.take(Taking::Fail);
    store.purge(Purging::Fail);
    turn();
    for minute in 1..4 {
        clock.advance(Duration::from_mins(1));
        turn();
        assert_eq!(store.told().len(), 1);
        assert_eq!(store.purges(), minute + 1);
        let failures = failures.load(Ordering::Relaxed);
        assert_eq!(failures, 1 + 2 * minute, "each of uses and purge");
    }
    store.take(Taking::Honest);
    store.purge(Purging::Honest);
    clock.advance(Duration::from_mins(1));
    turn();
    assert_eq!(failures.load(Ordering::Relaxed), 7);
    let last = ring.last_used(issued.record().id()).await.unwrap();
    assert_eq!(last, Some(START));
}

/// Each of them hears of every event, whatever becomes of the other.
#[tokio::test]
async fn a_pair_of_observers_is_one_even_if_one_panics() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = || {
        let heard = Arc::clone(&heard);
        observer_fn(move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
        })
    };
    let first: Arc<dyn Observer> = Arc::new(count());
    let second: Box<dyn Observer> = Box::new(count());
    let ring = KeyRing::builder("acme")
        .observer((observer_fn(panic), ((first, observer_fn(panic)), second)))
        .build(MemoryStore::new())
        .unwrap();
    issue(&ring, "read").await;
    assert_eq!(heard.load(Ordering::Relaxed), 2);
}
