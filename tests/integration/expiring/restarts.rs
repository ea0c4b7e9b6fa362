//! Any number of processes and restarts over one database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tower_api_key::store::{ExpiryLadder, HistoryEntry, HistoryPlace, HistoryQuery, KeyStore};
use tower_api_key::{Grant, KeyId, KeyRing, ManualClock, RevocationReason, Timestamp};
use tower_api_key_sqlite::SqliteStore;

use super::node::Gated;
use super::{DAY, Heard, MINUTE};
use crate::folder::Folder;
use crate::pg_server::{database, patient, soon};
use crate::support::START;

const NODES: usize = 8;
const KEYS: usize = 40;
const LIFE: u32 = 90;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_step_is_told_once_by_eight_processes_over_a_file_that_are_restarted() {
    let folder = Folder::new();
    let path = folder.keys();
    told_once(async || SqliteStore::open(&path).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_step_is_told_once_by_eight_processes_over_a_postgres_that_are_restarted() {
    let url = database().await;
    told_once(async || patient().connect(&url).await.unwrap()).await;
}

/// Each process has a store, a ring and a clock of its own, and ends after a turn.
async fn told_once<S: KeyStore + Clone>(open: impl AsyncFn() -> S) {
    let ring = ring(open().await, &ManualClock::new(START), &Heard::default());
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        let issued = ring
            .issue(Grant::new("alice").expires_in(LIFE * DAY))
            .await
            .unwrap();
        keys.push(issued.id());
    }
    let gone = keys.split_off(KEYS - 2);
    let mut fresh = None;
    let mut heard = BTreeMap::<(KeyId, Duration), usize>::new();
    for days in [30, 7, 1] {
        // Two keys are ended between two steps.
        if days == 7 {
            let reason = RevocationReason::CessationOfOperation;
            ring.revoke(gone[0], reason).await.unwrap();
            fresh = Some(ring.rotate(gone[1], MINUTE).await.unwrap().id());
        }
        for _ in 0..2 {
            let at = START.checked_add((LIFE - days) * DAY + MINUTE).unwrap();
            let mut nodes = Vec::new();
            for _ in 0..NODES {
                nodes.push((Gated::for_one_turn(open().await), ManualClock::new(at)));
            }
            let turns = nodes
                .into_iter()
                .map(|(store, clock)| tokio::spawn(turn(store, clock)));
            for turn in turns.collect::<Vec<_>>() {
                for (id, _, _, step) in turn.await.unwrap().take() {
                    *heard.entry((id, step)).or_default() += 1;
                }
            }
        }
    }
    let mut expected = BTreeMap::new();
    for days in [30, 7, 1] {
        expected.extend(keys.iter().map(|&id| ((id, days * DAY), 1)));
    }
    expected.extend(gone.iter().map(|&id| ((id, 30 * DAY), 1)));
    // The new key expires with the others.
    let fresh = fresh.unwrap();
    expected.extend([7, 1].map(|days| ((fresh, days * DAY), 1)));
    assert_eq!(heard, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_the_history_of_a_file_misses_nothing_of_processes_that_die() {
    let folder = Folder::new();
    let path = folder.keys();
    noted_once(async || SqliteStore::open(&path).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_the_history_of_a_postgres_misses_nothing_of_processes_that_die() {
    let url = database().await;
    noted_once(async || patient().connect(&url).await.unwrap()).await;
}

/// At each step one process claims, and dies before it tells anybody. The others find nothing.
async fn noted_once<S: KeyStore + Clone>(open: impl AsyncFn() -> S) {
    let ring = ring(open().await, &ManualClock::new(START), &Heard::default());
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        let grant = Grant::new("alice").expires_in(LIFE * DAY);
        keys.push(ring.issue(grant).await.unwrap().id());
    }
    let mut place = None;
    for days in [30, 7, 1] {
        let at = START.checked_add((LIFE - days) * DAY + MINUTE).unwrap();
        let dying = Gated::that_dies(open().await);
        assert_eq!(turn(dying, ManualClock::new(at)).await.take(), []);
        let next = Gated::for_one_turn(open().await);
        assert_eq!(turn(next, ManualClock::new(at)).await.take(), []);

        let mut noted = noted(&ring, &mut place).await;
        noted.sort_unstable();
        let mut due: Vec<_> = keys.iter().map(|&id| (id, days * DAY)).collect();
        due.sort_unstable();
        assert_eq!(noted, due);
        // Between two steps, two keys are ended.
        if days == 30 {
            let reason = RevocationReason::CessationOfOperation;
            ring.revoke(keys.pop().unwrap(), reason).await.unwrap();
            let replaced = keys.pop().unwrap();
            keys.push(ring.rotate(replaced, MINUTE).await.unwrap().id());
        }
    }
}

/// The notices in the history after this place, page by page. The place is then that of the last entry.
async fn noted(ring: &KeyRing, place: &mut Option<HistoryPlace>) -> Vec<(KeyId, Duration)> {
    let mut notices = Vec::new();
    loop {
        let mut query = HistoryQuery::new().oldest_first().limit(7);
        query.after.clone_from(place);
        let page = ring.history(&query).await.unwrap();
        let Some(last) = page.last() else {
            return notices;
        };
        *place = Some(last.place().clone());
        let found = page.iter().filter_map(HistoryEntry::expiry_notice);
        notices.extend(found.map(|notice| (notice.id, notice.step)));
    }
}

fn ring(store: impl KeyStore, clock: &ManualClock, heard: &Heard) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .upkeep_interval(Duration::from_secs(1))
        .observer(heard.observer())
        .build(store)
        .unwrap()
}

/// One turn of a process: it has told everything that it has claimed.
async fn turn<S: KeyStore + Clone>(store: Gated<S>, clock: ManualClock) -> Heard {
    let heard = Heard::default();
    let upkeep = tokio::spawn(ring(store.clone(), &clock, &heard).upkeep());
    let turning = async {
        while !store.is_over() {
            clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(turning).await;
    upkeep.abort();
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_in_a_file_that_was_revoked_is_not_claimed() {
    let folder = Folder::new();
    let path = folder.keys();
    revoked_first(async || SqliteStore::open(&path).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_in_postgres_that_was_revoked_is_not_claimed() {
    let url = database().await;
    revoked_first(async || patient().connect(&url).await.unwrap()).await;
}

/// A claim that begins after a revocation has returned does not have the key, and one at the same moment has it once.
async fn revoked_first<S: KeyStore>(open: impl AsyncFn() -> S) {
    let ring = ring(open().await, &ManualClock::new(START), &Heard::default());
    let other = open().await;
    let now = START.checked_add((LIFE - 1) * DAY + DAY / 2).unwrap();
    for _ in 0..60 {
        let id = ring
            .issue(Grant::new("alice").expires_in(LIFE * DAY))
            .await
            .unwrap()
            .id();
        let is_revoked = AtomicBool::new(false);
        let revoking = async {
            tokio::task::yield_now().await;
            ring.revoke(id, RevocationReason::KeyCompromise)
                .await
                .unwrap();
            is_revoked.store(true, Ordering::SeqCst);
        };
        let claiming = soon(claims(&other, &ring, id, &is_revoked, now));
        let (times, ()) = tokio::join!(claiming, revoking);
        assert!(times <= 1, "a key was claimed {times} times");
    }
}

async fn claims(
    store: &impl KeyStore,
    ring: &KeyRing,
    id: KeyId,
    is_revoked: &AtomicBool,
    now: Timestamp,
) -> usize {
    let (ladder, mut times) = (ExpiryLadder::default(), 0);
    loop {
        let was_revoked = is_revoked.load(Ordering::SeqCst);
        let claims = store
            .claim_expiry_notices(ring.realm(), &ladder, now, 10)
            .await
            .unwrap();
        let found = claims
            .notices
            .iter()
            .filter(|notice| notice.id == id)
            .count();
        assert!(!was_revoked || found == 0, "a revoked key was claimed");
        times += found;
        if was_revoked {
            return times;
        }
    }
}
