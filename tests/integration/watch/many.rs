//! Many watches at once, and their cost for the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tower_api_key::store::{
    BoxFuture, Change, Found, KeyStore, Lookup, MemoryStore, StoreError, StoreId,
};
use tower_api_key::{
    ErrorKind, Grant, KeyDigest, KeyId, KeyState, ManualClock, Realm, RevocationReason, Watch,
};

use super::{MILLISECOND, REASON, SECOND, assert_goes_on, assert_over, ring_over, state};
use crate::support::{START, issue, poll_once};

/// Records in memory whose reads are counted, and which can be damaged.
#[derive(Clone, Default)]
struct Counted {
    store: MemoryStore,
    calls: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    damaged: Arc<std::sync::Mutex<Vec<KeyId>>>,
    is_down: Arc<std::sync::atomic::AtomicBool>,
}

impl Counted {
    /// The calls, and the keys that they requested, since the last check.
    fn cost(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.swap(0, Ordering::SeqCst);
        (count(&self.calls), count(&self.asked))
    }
}

impl KeyStore for Counted {
    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.asked.fetch_add(ids.len(), Ordering::SeqCst);
        Box::pin(async move {
            let mut found = self.store.get_many(realm, ids).await;
            for (id, found) in ids.iter().zip(&mut found) {
                let is_damaged = self.damaged.lock().unwrap().contains(id);
                if is_damaged || self.is_down.load(Ordering::SeqCst) {
                    *found = Err(StoreError::unavailable("damaged"));
                }
            }
            found
        })
    }

    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.commit(change)
    }

    crate::support::forward!(store: revoke, get, list, purge, record_uses, last_uses);
}

const INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

fn poll_all(watches: &mut [Watch]) -> usize {
    let polled = watches
        .iter_mut()
        .map(|watch| poll_once(watch).is_pending());
    polled.filter(|pending| *pending).count()
}

#[tokio::test]
async fn r19_any_number_of_watches_of_a_key_costs_one_call_an_interval() {
    const WATCHES: usize = 8_000;
    let (clock, store) = (ManualClock::new(START), Counted::default());
    let ring = ring_over(store.clone(), &clock, |builder| builder);
    let elsewhere = ring_over(store.clone(), &clock, |builder| builder);
    let id = issue(&ring, "read").await.record().id();
    let mut watches: Vec<Watch> = (0..WATCHES).map(|_| ring.watch(id)).collect();
    assert_eq!(poll_all(&mut watches), WATCHES);
    assert_eq!(store.cost(), (1, 1));
    for round in 0..5 {
        clock.advance(INTERVAL);
        assert_eq!(poll_all(&mut watches), WATCHES);
        assert_eq!(store.cost(), (1, 1), "round {round}");
    }
    // No watch depends on another that is held and not polled, or is gone.
    let mut last = watches.pop().unwrap();
    clock.advance(INTERVAL);
    assert_goes_on(&mut last, "the others are not polled");
    assert_eq!(store.cost(), (1, 1));
    watches.truncate(100);
    elsewhere.revoke(id, REASON).await.unwrap();
    clock.advance(INTERVAL);
    assert_over(&mut last, KeyState::Revoked);
    assert_eq!(store.cost(), (1, 1));
    for watch in &mut watches {
        assert_over(watch, KeyState::Revoked);
    }
    assert_eq!(store.cost(), (0, 0));
}

#[tokio::test]
async fn r19_the_watches_of_many_keys_share_a_call() {
    const KEYS: usize = 2_500;
    let (clock, store) = (ManualClock::new(START), Counted::default());
    let ring = ring_over(store.clone(), &clock, |builder| builder);
    let elsewhere = ring_over(store.clone(), &clock, |builder| builder);
    let mut ids = Vec::new();
    for _ in 0..KEYS {
        ids.push(issue(&ring, "read").await.record().id());
    }
    let mut watches: Vec<Watch> = ids.iter().map(|&id| ring.watch(id)).collect();
    assert_eq!(poll_all(&mut watches), KEYS);
    assert_eq!(store.cost(), (3, KEYS), "a thousand keys a call");
    clock.advance(INTERVAL);
    assert_eq!(poll_all(&mut watches), KEYS);
    assert_eq!(store.cost(), (3, KEYS));

    // Of those that change elsewhere, each ends its own watch and no other.
    elsewhere.revoke(ids[7], REASON).await.unwrap();
    elsewhere.revoke(ids[1_700], REASON).await.unwrap();
    clock.advance(INTERVAL);
    assert_eq!(poll_all(&mut watches), KEYS - 2);
    assert_eq!(store.cost(), (3, KEYS));
    // Ended keys are not read any more.
    clock.advance(INTERVAL);
    assert_goes_on(&mut watches[0], "live");
    assert_eq!(store.cost(), (3, KEYS - 2));
}

#[tokio::test]
async fn r20_a_damaged_record_ends_its_own_watch_and_a_dead_store_all_of_them() {
    const KEYS: usize = 2_500;
    let (clock, store) = (ManualClock::new(START), Counted::default());
    let ring = ring_over(store.clone(), &clock, |builder| builder);
    let mut ids = Vec::new();
    for _ in 0..KEYS {
        ids.push(issue(&ring, "read").await.record().id());
    }
    let mut watches: Vec<Watch> = ids.iter().map(|&id| ring.watch(id)).collect();
    assert_eq!(poll_all(&mut watches), KEYS);
    store.cost();
    store.damaged.lock().unwrap().push(ids[3]);
    clock.advance(INTERVAL);
    assert_eq!(
        state(poll_once(&mut watches[3])),
        Poll::Ready(Err(ErrorKind::Store))
    );
    drop(watches.remove(3));
    assert_eq!(poll_all(&mut watches), KEYS - 1);
    assert_eq!(store.cost(), (3, KEYS));

    // The store is not asked again for each batch while the keys of all are in doubt.
    store.is_down.store(true, Ordering::SeqCst);
    clock.advance(INTERVAL);
    for watch in &mut watches {
        assert_eq!(state(poll_once(watch)), Poll::Ready(Err(ErrorKind::Store)));
    }
    assert_eq!(store.cost(), (1, 1_000));
}

#[tokio::test]
async fn a_watch_costs_nothing_after_the_last_is_dropped_and_the_ring_ends_with_it() {
    let (clock, store) = (ManualClock::new(START), Counted::default());
    let ring = ring_over(store.clone(), &clock, |builder| builder);
    let id = issue(&ring, "read").await.record().id();
    let (mut one, mut other) = (ring.watch(id), ring.watch(id));
    assert_goes_on(&mut one, "live");
    drop(one);
    clock.advance(INTERVAL);
    assert_goes_on(&mut other, "the one that drove the reading is gone");
    assert_eq!(store.cost(), (2, 2));
    drop((other, ring));
    clock.advance(SECOND);
    assert_eq!(store.cost(), (0, 0));
    assert_eq!(
        Arc::strong_count(&store.calls),
        1,
        "the ring is still there"
    );
}

#[tokio::test]
async fn a_watch_that_begins_in_between_joins_the_round() {
    let (clock, store) = (ManualClock::new(START), Counted::default());
    let ring = ring_over(store.clone(), &clock, |builder| builder);
    let id = issue(&ring, "read").await.record().id();
    let brief = Grant::new("bob").expires_in(60 * SECOND);
    let brief = ring.issue(brief).await.unwrap().record().id();
    let mut first = ring.watch(id);
    assert_goes_on(&mut first, "live");
    clock.advance(100 * MILLISECOND);
    let (mut same, mut other) = (ring.watch(id), ring.watch(brief));
    assert_goes_on(&mut same, "live");
    assert_goes_on(&mut other, "live");
    assert_eq!(store.cost(), (2, 2), "each key is looked at once");
    clock.advance(400 * MILLISECOND);
    for watch in [&mut first, &mut same, &mut other] {
        assert_goes_on(watch, "live");
    }
    assert_eq!(store.cost(), (1, 2));
    // A change through the ring is read at once, and only for its key.
    ring.revoke(id, RevocationReason::Superseded).await.unwrap();
    assert_over(&mut same, KeyState::Revoked);
    assert_over(&mut first, KeyState::Revoked);
    assert_goes_on(&mut other, "another key");
    assert_eq!(store.cost(), (1, 1));
}
