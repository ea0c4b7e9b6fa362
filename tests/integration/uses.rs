//! The last use of keys: recorded off the request path, and never more than a note.

pub(crate) mod noting;

use std::pin::pin;
use std::time::Duration;

use tower::Layer;
use tower_api_key::store::{KeyStore, ListQuery, MemoryStore};
use tower_api_key::{
    ApiKeyLayer, ErrorKind, EventKind, Grant, InvalidCause, Issued, KeyRing, KeyRingBuilder,
    ManualClock, RevocationReason, Timestamp, VerifyErrorKind,
};

use self::noting::{Noting, Purging, Taking};
use crate::events::{Recorder, nameless};
use crate::support::{Inner, START, issue, key, poll_once, ring, send, with_key};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn tracking(
    store: impl KeyStore,
    options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
) -> (KeyRing, ManualClock) {
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .track_last_use();
    (options(builder).build(store).unwrap(), clock)
}

fn at(seconds: u64) -> Option<Timestamp> {
    START.checked_add(Duration::from_secs(seconds))
}

async fn present(ring: &KeyRing, issued: &Issued) {
    let key = issued.secret().expose().as_bytes();
    assert_eq!(ring.verify(key).await.unwrap().id(), issued.record().id());
}

#[tokio::test]
async fn uses_are_not_tracked_where_nothing_is_said() {
    let store = Noting::new();
    let ring = KeyRing::builder("acme").build(store.clone()).unwrap();
    let issued = issue(&ring, "read").await;
    present(&ring, &issued).await;
    ring.record_uses().await.unwrap();
    assert_eq!(store.told(), [[]; 0]);
    let last = ring.last_used(issued.record().id()).await.unwrap();
    assert_eq!(last, None);
}

#[tokio::test]
async fn many_uses_are_told_as_the_last_of_them() {
    let store = Noting::new();
    let (ring, clock) = tracking(store.clone(), |builder| builder);
    let (often, once) = (issue(&ring, "read").await, issue(&ring, "read").await);
    let unused = issue(&ring, "read").await.record().id();
    let (often_id, once_id) = (often.record().id(), once.record().id());
    present(&ring, &once).await;
    for _ in 0..50 {
        clock.advance(SECOND);
        for _ in 0..20 {
            present(&ring, &often).await;
        }
    }
    let last = ring.last_used(often_id).await.unwrap();
    assert_eq!(last, None, "a request writes nothing to the store");
    ring.record_uses().await.unwrap();
    let mut expected = vec![(often_id, at(50).unwrap()), (once_id, START)];
    expected.sort_unstable();
    let mut told = store.told();
    told[0].sort_unstable();
    assert_eq!(told, [expected]);
    assert_eq!(ring.last_used(often_id).await.unwrap(), at(50));
    assert_eq!(ring.last_used(once_id).await.unwrap(), Some(START));
    assert_eq!(ring.last_used(unused).await.unwrap(), None);

    ring.record_uses().await.unwrap();
    assert_eq!(store.told(), [[]; 0], "there is nothing new to tell");
}

#[tokio::test]
async fn what_is_accepted_is_a_use_and_what_is_refused_is_none() {
    let store = Noting::new();
    let (ring, clock) = tracking(store.clone(), |builder| builder);
    let poor = issue(&ring, "list").await;
    let revoked = issue(&ring, "read").await;
    ring.revoke(revoked.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let expired = ring.issue(Grant::new("alice").expires_in(SECOND)).await;
    let expired = expired.unwrap();
    let unknown = key(&self::ring(), "read").await;
    clock.advance(SECOND);
    let service = ApiKeyLayer::new(ring.clone())
        .require("read")
        .layer(Inner::new());
    for key in [
        poor.secret().expose(),
        revoked.secret().expose(),
        expired.secret().expose(),
        &unknown,
        "nonsense",
    ] {
        assert_ne!(send(&service, with_key(key)).await.status, 200);
    }
    ring.record_uses().await.unwrap();
    // A client presented this key, whatever the key may do.
    assert_eq!(store.told(), [[(poor.record().id(), at(1).unwrap())]]);
}

#[tokio::test]
async fn r24_a_clock_that_is_set_back_moves_no_last_use_back() {
    let (ring, clock) = tracking(MemoryStore::new(), |builder| builder);
    let issued = issue(&ring, "read").await;
    let id = issued.record().id();
    clock.advance(MINUTE);
    present(&ring, &issued).await;
    clock.set(START);
    present(&ring, &issued).await;
    ring.record_uses().await.unwrap();
    assert_eq!(ring.last_used(id).await.unwrap(), at(60));

    present(&ring, &issued).await;
    ring.record_uses().await.unwrap();
    assert_eq!(ring.last_used(id).await.unwrap(), at(60), "in the store");
    clock.set(at(61).unwrap());
    present(&ring, &issued).await;
    ring.record_uses().await.unwrap();
    assert_eq!(ring.last_used(id).await.unwrap(), at(61));
}

#[tokio::test]
async fn a_use_that_the_store_did_not_take_is_told_again() {
    let store = Noting::new();
    let (ring, clock) = tracking(store.clone(), |builder| builder);
    let (issued, other) = (issue(&ring, "read").await, issue(&ring, "read").await);
    let (id, other_id) = (issued.record().id(), other.record().id());
    clock.advance(SECOND);
    present(&ring, &issued).await;
    present(&ring, &other).await;

    store.take(Taking::Fail);
    for _ in 0..2 {
        let error = ring.record_uses().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert_eq!(error.to_string(), "the key store failed");
    }
    assert_eq!(ring.last_used(id).await.unwrap(), None);

    // Nor is it lost, or a later one, if the future is dropped half-way.
    store.take(Taking::Hold);
    {
        let mut recording = Box::pin(ring.record_uses());
        assert!(poll_once(&mut recording).is_pending());
        clock.advance(SECOND);
        present(&ring, &issued).await;
    }
    store.take(Taking::Honest);
    ring.record_uses().await.unwrap();
    assert_eq!(ring.last_used(id).await.unwrap(), at(2));
    assert_eq!(ring.last_used(other_id).await.unwrap(), at(1));
    assert_eq!(store.told().len(), 4);
}

#[tokio::test]
async fn invariant_2_a_last_use_neither_overwrites_a_record_nor_brings_one_back() {
    let store = Noting::new();
    let (ring, clock) = tracking(store.clone(), |builder| builder.retention(Duration::ZERO));
    let narrowed = issue(&ring, "read write").await;
    let revoked = issue(&ring, "read").await;
    let purged = issue(&ring, "read").await;
    let untouched = issue(&ring, "read").await;
    let keys = [&narrowed, &revoked, &purged, &untouched];
    let ids = keys.map(|issued| issued.record().id());
    for issued in keys {
        present(&ring, issued).await;
    }

    store.take(Taking::Hold);
    let mut recording = Box::pin(ring.record_uses());
    assert!(poll_once(&mut recording).is_pending());
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(ids[2], reason).await.unwrap();
    clock.advance(SECOND);
    assert_eq!(ring.purge().await.unwrap(), 1);
    ring.revoke(ids[1], reason).await.unwrap();
    let read = "read".parse().unwrap();
    let narrowed = ring.narrow(ids[0], &read).await.unwrap();
    let before = ring.list(&ListQuery::new()).await.unwrap();
    assert_eq!(before.len(), 3);
    store.release();
    recording.await.unwrap();

    assert_eq!(
        ring.list(&ListQuery::new()).await.unwrap().records(),
        before.records()
    );
    assert_eq!(ring.get(ids[0]).await.unwrap(), Some(narrowed));
    assert_eq!(ring.get(ids[2]).await.unwrap(), None);
    let kept = ring.get(ids[3]).await.unwrap();
    assert_eq!(kept.as_ref(), Some(untouched.record()), "no new version");
    for (id, expected) in [(0, at(0)), (1, at(0)), (2, None), (3, at(0))] {
        let last = ring.last_used(ids[id]).await.unwrap();
        assert_eq!(last, expected, "{id}");
    }
    let error = ring.verify(revoked.secret().expose().as_bytes()).await;
    let error = error.unwrap_err();
    assert_eq!(error.key_id(), Some(ids[1]));
    let revoked = VerifyErrorKind::Invalid(InvalidCause::Revoked);
    assert_eq!(error.kind(), revoked);
}

#[tokio::test]
async fn r31_last_uses_are_of_one_realm() {
    let store = MemoryStore::new();
    let (orders, _) = tracking(store.clone(), |builder| builder);
    let (billing, _) = tracking(store, |builder| builder.realm("billing"));
    let issued = issue(&orders, "read").await;
    let id = issued.record().id();
    present(&orders, &issued).await;
    orders.record_uses().await.unwrap();
    assert_eq!(orders.last_used(id).await.unwrap(), Some(START));
    assert_eq!(billing.last_used(id).await.unwrap(), None);
}

#[tokio::test]
async fn upkeep_tells_the_uses_at_each_turn_and_purges_once_an_hour() {
    let none: fn(KeyRingBuilder) -> KeyRingBuilder = |builder| builder;
    let quarter: fn(KeyRingBuilder) -> KeyRingBuilder =
        |builder| builder.upkeep_interval(15 * MINUTE);
    for (options, interval) in [(none, MINUTE), (quarter, 15 * MINUTE)] {
        let store = Noting::new();
        let (ring, clock) = tracking(store.clone(), options);
        let issued = issue(&ring, "read").await;
        let id = issued.record().id();
        let mut upkeep = pin!(ring.upkeep());
        let mut turn = || assert!(poll_once(&mut upkeep).is_pending());
        turn();
        assert_eq!(store.purges(), 1, "at the start");
        let mut seconds = 0;
        for _ in 0..(2 * HOUR.as_secs() / interval.as_secs()) {
            present(&ring, &issued).await;
            clock.advance(interval.saturating_sub(SECOND));
            turn();
            assert_eq!(store.told(), [[]; 0], "before its time");
            clock.advance(SECOND);
            turn();
            assert_eq!(store.told(), [[(id, at(seconds).unwrap())]]);
            seconds += interval.as_secs();
        }
        assert_eq!(store.purges(), 3);
    }
}

#[tokio::test]
async fn upkeep_tries_again_what_failed_at_its_next_turn() {
    for (taking, purging) in [
        (Taking::Fail, Purging::Fail),
        (Taking::Panic, Purging::Panic),
    ] {
        tries_again(taking, purging).await;
    }
}

async fn tries_again(taking: Taking, purging: Purging) {
    let store = Noting::new();
    let (ring, clock) = tracking(store.clone(), |builder| builder);
    let issued = issue(&ring, "read").await;
    present(&ring, &issued).await;
    let mut upkeep = pin!(ring.upkeep());
    let mut turn = || assert!(poll_once(&mut upkeep).is_pending());
    store.take(taking);
    store.purge(purging);
    turn();
    for count in 1..4 {
        assert_eq!(store.purges(), count);
        clock.advance(MINUTE);
        turn();
        assert_eq!(store.told(), [[(issued.record().id(), START)]]);
    }
    store.take(Taking::Honest);
    store.purge(Purging::Honest);
    for _ in 0..4 {
        clock.advance(MINUTE);
        turn();
    }
    assert_eq!(store.told(), [[(issued.record().id(), START)]]);
    assert_eq!(store.purges(), 5, "the one that worked is the last");
    let last = ring.last_used(issued.record().id()).await.unwrap();
    assert_eq!(last, Some(START));
}

#[tokio::test]
async fn a_purge_that_hangs_holds_no_use_back() {
    let store = Noting::new();
    let (ring, clock) = tracking(store.clone(), |builder| builder);
    let issued = issue(&ring, "read").await;
    store.purge(Purging::Hang);
    let mut upkeep = pin!(ring.upkeep());
    assert!(poll_once(&mut upkeep).is_pending());
    assert_eq!(store.purges(), 1);
    for minute in 0..3 {
        present(&ring, &issued).await;
        clock.advance(MINUTE);
        assert!(poll_once(&mut upkeep).is_pending());
        assert_eq!(
            store.told(),
            [[(issued.record().id(), at(minute * 60).unwrap())]]
        );
    }
    assert_eq!(store.purges(), 1);
}

#[tokio::test]
async fn an_upkeep_that_fails_is_told() {
    let (store, recorder) = (Noting::new(), Recorder::default());
    let (ring, clock) = tracking(store.clone(), |builder| builder.observer(recorder.clone()));
    let issued = issue(&ring, "read").await;
    present(&ring, &issued).await;
    let failed = || nameless(EventKind::UpkeepFailed, None);
    let mut upkeep = pin!(ring.upkeep());
    let mut turn = || {
        assert!(poll_once(&mut upkeep).is_pending());
        recorder.take()
    };
    store.purge(Purging::Fail);
    let told = turn();
    assert_eq!(told[told.len() - 1], failed());
    store.take(Taking::Fail);
    clock.advance(MINUTE);
    assert_eq!(turn(), [failed(), failed()]);
    store.purge(Purging::Panic);
    store.take(Taking::Panic);
    clock.advance(MINUTE);
    assert_eq!(turn(), [failed(), failed()]);
    let text = "source: Some(StoreError { kind: Unavailable";
    assert!(recorder.texts().contains(text), "{}", recorder.texts());
    store.take(Taking::Honest);
    store.purge(Purging::Honest);
    clock.advance(MINUTE);
    assert_eq!(turn(), []);
}

/// A read-only store is left to its writers: this ring does not purge its dead keys, and uses that
/// it will never accept do not pile up.
#[tokio::test]
async fn r23_a_read_only_store_is_not_purged_and_keeps_no_uses_in_memory() {
    let (store, recorder) = (Noting::new(), Recorder::default());
    let (ring, clock) = tracking(store.clone(), |builder| builder.observer(recorder.clone()));
    let issued = issue(&ring, "read").await;
    recorder.take();
    store.purge(Purging::ReadOnly);
    store.take(Taking::ReadOnly);
    let mut upkeep = pin!(ring.upkeep());
    assert!(poll_once(&mut upkeep).is_pending());
    assert_eq!(recorder.take(), [nameless(EventKind::UpkeepFailed, None)]);
    present(&ring, &issued).await;
    clock.advance(MINUTE);
    assert!(poll_once(&mut upkeep).is_pending());
    assert_eq!(recorder.take(), [nameless(EventKind::UpkeepFailed, None)]);
    assert_eq!(store.told().len(), 1);
    for _ in 0..58 {
        clock.advance(MINUTE);
        assert!(poll_once(&mut upkeep).is_pending());
    }
    assert_eq!((store.told().len(), store.purges()), (0, 1));
    assert_eq!(recorder.take(), []);
    clock.advance(MINUTE);
    assert!(poll_once(&mut upkeep).is_pending());
    assert_eq!(store.purges(), 2, "it may be a standby that takes over");
    assert_eq!(recorder.take(), [], "and that it may not was told");
}

#[test]
fn uses_are_not_lost_between_threads() {
    let (ring, clock) = tracking(MemoryStore::new(), |builder| builder);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let issued = runtime.block_on(issue(&ring, "read"));
    let key = issued.secret().expose();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    clock.advance(SECOND);
                    let verdict = poll_once(&mut Box::pin(ring.verify(key.as_bytes())));
                    assert!(verdict.is_ready());
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..2_000 {
                let recorded = poll_once(&mut Box::pin(ring.record_uses()));
                assert!(recorded.is_ready());
            }
        });
    });
    runtime.block_on(async {
        ring.record_uses().await.unwrap();
        let last = ring.last_used(issued.record().id()).await.unwrap();
        // The thread that moved the clock last read it after that.
        assert_eq!(last, at(6_000));
    });
}
