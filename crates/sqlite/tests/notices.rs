//! Notices of expiry of the keys in a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::replica::Feed;
use tower_api_key::store::{
    ExpiryLadder, ExpiryNotice, HistoryKind, HistoryQuery, KeyStore, StoreErrorKind,
};
use tower_api_key::{Grant, KeyId, KeyRing, ManualClock, Realm, RevocationReason, Timestamp};
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::sqlite::unguarded;
use tower_api_key_test_support::support::START;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn ring(path: &Path) -> (KeyRing, SqliteStore) {
    let store = SqliteStore::open(path).unwrap();
    let builder = KeyRing::builder("acme").clock(ManualClock::new(START));
    (builder.build(store.clone()).unwrap(), store)
}

async fn issue(ring: &KeyRing) -> KeyId {
    let grant = Grant::new("alice").expires_in(90 * DAY);
    ring.issue(grant).await.unwrap().id()
}

/// So many days before the end.
fn before(days: u32) -> Timestamp {
    START.checked_add((90 - days) * DAY).unwrap()
}

/// The notices in the history, in the order of the expiries.
async fn noted(store: &SqliteStore) -> Vec<ExpiryNotice> {
    let (realm, all) = (Realm::new("acme").unwrap(), HistoryQuery::new());
    let entries = store.history(&realm, &all).await.unwrap();
    let entries = entries.iter();
    let noted = entries.filter(|entry| entry.kind() == HistoryKind::ExpiryNoticed);
    let mut notices: Vec<_> = noted.map(|entry| entry.expiry_notice().unwrap()).collect();
    notices.sort();
    notices
}

async fn claimed(store: &SqliteStore, days: u32) -> Vec<ExpiryNotice> {
    let (realm, ladder) = (Realm::new("acme").unwrap(), ExpiryLadder::default());
    let claims = store.claim_expiry_notices(&realm, &ladder, before(days), 100);
    claims.await.unwrap().notices
}

#[tokio::test]
async fn a_claim_is_no_change_of_the_key() {
    let folder = Folder::new();
    let (ring, store) = ring(&folder.keys());
    let id = issue(&ring).await;
    let entries = ring.history(&HistoryQuery::new()).await.unwrap().len();
    let head = store.head().await.unwrap();
    assert_eq!(claimed(&store, 7).await.len(), 1);
    let record = ring.get(id).await.unwrap().unwrap();
    assert_eq!(record.version(), 1);
    let after = ring.history(&HistoryQuery::new()).await.unwrap();
    assert_eq!(after.len(), entries + 1, "that of its notice");
    assert_eq!((after[0].is_by_hand(), after[0].actor()), (false, None));
    let fields = after[0].after();
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["expires_at", "notice_step"]
    );
    assert_eq!(fields["notice_step"], "604800");
    let position = store.head().await.unwrap().position;
    assert_eq!(position, head.position, "replicas have nothing to read");
}

#[tokio::test]
async fn a_restore_tells_nothing_again() {
    let folder = Folder::new();
    let path = folder.keys();
    let (ring, store) = ring(&path);
    let (told, later) = (issue(&ring).await, issue(&ring).await);
    let backup = folder.fresh();
    store.backup(&backup).await.unwrap();
    assert_eq!(claimed(&store, 30).await.len(), 2);
    // One of them further, by hand.
    let hand = Connection::open(&path).unwrap();
    let further = "UPDATE api_keys SET noticed_step = 86400 WHERE id = ?1";
    assert_eq!(hand.execute(further, [told.as_str()]).unwrap(), 1);
    let before_it = noted(&store).await;
    assert_eq!(before_it.len(), 3);
    drop((ring, store, hand));
    SqliteStore::restore(&backup).into(&path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(noted(&store).await, before_it);
    assert_eq!(claimed(&store, 30).await, []);
    let week = claimed(&store, 7).await;
    assert_eq!(
        week.iter().map(|notice| notice.id).collect::<Vec<_>>(),
        [later]
    );
    assert_eq!(noted(&store).await.len(), 4);
    // The trigger is in its place.
    let hand = Connection::open(&path).unwrap();
    let further = "UPDATE api_keys SET noticed_step = 1 WHERE id = ?1";
    assert_eq!(hand.execute(further, [told.as_str()]).unwrap(), 1);
    assert_eq!(noted(&store).await.len(), 5);
}

/// Two backups of which each has a notice that the other has not, and a present file that is lost.
#[tokio::test]
async fn a_restore_over_several_files_has_each_of_their_notices() {
    let folder = Folder::new();
    let (path, copies) = (folder.keys(), [folder.fresh(), folder.fresh()]);
    let (ring, store) = ring(&path);
    issue(&ring).await;
    for (copy, days) in copies.iter().zip([30, 7]) {
        assert_eq!(claimed(&store, days).await.len(), 1);
        store.backup(copy).await.unwrap();
    }
    assert_eq!(claimed(&store, 1).await.len(), 1);
    drop((ring, store));
    std::fs::write(&path, "no database").unwrap();
    let restore = SqliteStore::restore(&copies[0]).also_revoked_in(&copies[1]);
    restore.danger_present_is_lost().into(&path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let steps = async || {
        let notices = noted(&store).await;
        let steps = notices.iter().map(|notice| notice.step);
        steps.collect::<Vec<_>>()
    };
    assert_eq!(steps().await, [7 * DAY, 30 * DAY]);
    // It was lost with its entry, so it is sent anew.
    assert_eq!(claimed(&store, 1).await.len(), 1);
    assert_eq!(steps().await, [DAY, 7 * DAY, 30 * DAY]);
}

/// What was claimed before stays claimed, and is not in the history.
#[tokio::test]
async fn r20_notices_from_before_the_history_had_them_are_no_entries() {
    let folder = Folder::new();
    let (path, backup) = (folder.keys(), folder.fresh());
    let (ring, store) = ring(&path);
    issue(&ring).await;
    store.backup(&backup).await.unwrap();
    let former = "DROP TRIGGER api_keys_note_in_history_notices; PRAGMA user_version = 11";
    let unsettle = || {
        Connection::open(&path)
            .unwrap()
            .execute_batch(former)
            .unwrap();
    };
    drop((ring, store));
    unsettle();
    let claim = "UPDATE api_keys SET noticed_step = 2592000";
    Connection::open(&path).unwrap().execute(claim, []).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(claimed(&store, 30).await, []);
    assert_eq!(noted(&store).await, []);
    // Nor does a restore make any, of a file that is migrated and of one that is not.
    drop(store);
    unsettle();
    let older = folder.fresh();
    std::fs::copy(&path, &older).unwrap();
    drop(SqliteStore::open(&path).unwrap());
    let restore = SqliteStore::restore(&backup).also_revoked_in(&older);
    restore.into(&path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(claimed(&store, 30).await, []);
    assert_eq!(noted(&store).await, []);
    assert_eq!(claimed(&store, 7).await, noted(&store).await);
    assert_eq!(noted(&store).await.len(), 1);
}

/// An entry stands for a notice that is due to somebody.
#[tokio::test]
async fn only_a_narrower_step_of_a_living_key_is_an_entry() {
    let folder = Folder::new();
    let path = folder.keys();
    let (ring, store) = ring(&path);
    let [live, revoked, replaced] = [issue(&ring).await, issue(&ring).await, issue(&ring).await];
    let reason = RevocationReason::Superseded;
    ring.revoke(revoked, reason).await.unwrap();
    let next = ring.rotate(replaced, DAY / 24).await.unwrap().id();
    let hand = Connection::open(&path).unwrap();
    let set = |step: Option<i64>| {
        let set = "UPDATE api_keys SET noticed_step = ?1 WHERE id IS NOT ?2";
        let count = hand.execute(set, rusqlite::params![step, next.as_str()]);
        assert_eq!(count.unwrap(), 3);
    };
    let whole = i64::try_from(90 * DAY.as_secs()).unwrap();
    for step in [
        Some(whole),
        Some(0),
        Some(-1),
        Some(i64::MIN),
        None,
        Some(i64::MAX),
    ] {
        set(step);
        assert_eq!(noted(&store).await, [], "{step:?}");
    }
    let week = 7 * 24 * 60 * 60;
    for step in [week, week, 2 * week] {
        set(Some(step));
    }
    let seen = noted(&store).await;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].id, seen[0].step), (live, 7 * DAY));
    let entries = ring.history(&HistoryQuery::new().limit(1)).await.unwrap();
    assert!(entries[0].is_by_hand());
}

/// Several stores claim at once, are closed and opened, and callers go away: what events lose, the history has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_history_has_each_notice_once_whatever_dies() {
    const KEYS: usize = 100;
    const NODES: u64 = 4;

    let folder = Folder::new();
    let path = folder.keys();
    let (ring, store) = ring(&path);
    for _ in 0..KEYS {
        issue(&ring).await;
    }
    let mut told = Vec::new();
    for days in [30, 7, 1] {
        let nodes = (0..NODES).map(|_| tokio::spawn(node_that_dies(path.clone(), days)));
        for node in nodes.collect::<Vec<_>>() {
            told.extend(node.await.unwrap());
        }
        while !claimed(&store, days).await.is_empty() {}
    }
    let count = told.len();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), count);
    println!("{count} of {} were told", 3 * KEYS);
    assert!(count < 3 * KEYS, "no event was lost");
    let mut noted = noted(&store).await;
    assert_eq!(noted.len(), 3 * KEYS);
    noted.dedup();
    assert_eq!(noted.len(), 3 * KEYS);
}

/// The notices that the callers of a process that is restarted for each claim have got. Every other goes away as soon as it has
/// asked.
async fn node_that_dies(path: PathBuf, days: u32) -> Vec<ExpiryNotice> {
    let mut told = Vec::new();
    for turn in 0..6 {
        let store = SqliteStore::open(&path).unwrap();
        let (realm, ladder) = (Realm::new("acme").unwrap(), ExpiryLadder::default());
        let claims = store.claim_expiry_notices(&realm, &ladder, before(days), 5);
        let patience = Duration::from_secs(60 * (turn % 2));
        let claims = tokio::time::timeout(patience, claims).await;
        told.extend(claims.into_iter().flat_map(|it| it.unwrap().notices));
    }
    told
}

/// The keys of a store that was made by the former version are told, once.
#[tokio::test]
async fn a_store_of_the_former_version_tells_the_nearest_step() {
    let folder = Folder::new();
    let path = folder.keys();
    let (ring, store) = ring(&path);
    let id = issue(&ring).await;
    drop((ring, store));
    let former = "DROP TRIGGER api_keys_note_in_history_notices;
        DROP TRIGGER api_keys_take_their_usage_along; DROP TABLE api_key_usage;
        DROP INDEX api_keys_by_notice; ALTER TABLE api_keys DROP COLUMN noticed_step;
        PRAGMA user_version = 9";
    Connection::open(&path)
        .unwrap()
        .execute_batch(former)
        .unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let told = claimed(&store, 2).await;
    assert_eq!((told[0].id, told[0].step), (id, 7 * DAY));
    assert_eq!(claimed(&store, 2).await, []);
}

#[tokio::test]
async fn a_store_that_is_read_only_claims_nothing() {
    let folder = Folder::new();
    let (ring, store) = ring(&folder.keys());
    issue(&ring).await;
    let reader = SqliteStore::open_read_only(folder.keys()).unwrap();
    let (realm, ladder) = (Realm::new("acme").unwrap(), ExpiryLadder::default());
    let refused = reader
        .claim_expiry_notices(&realm, &ladder, before(1), 100)
        .await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::ReadOnly);
    assert_eq!(claimed(&store, 1).await.len(), 1);
}

/// Others may write while nothing is due, and a claim waits for nobody.
#[tokio::test]
async fn a_turn_without_keys_that_are_due_takes_no_lock() {
    let folder = Folder::new();
    let path = folder.keys();
    let (ring, store) = ring(&path);
    issue(&ring).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(claimed(&store, 31).await, []);
    other.execute_batch("ROLLBACK").unwrap();
}

/// A value that no claim writes is no reason to tell a key, nor to fail.
#[tokio::test]
async fn a_claim_by_hand_holds_other_keys_up_in_no_way() {
    let folder = Folder::new();
    let path = folder.keys();
    let (ring, store) = ring(&path);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(issue(&ring).await);
    }
    let hand = Connection::open(&path).unwrap();
    for (id, step) in ids.iter().zip([-1, 0, i64::MAX]) {
        let set = "UPDATE api_keys SET noticed_step = ?2 WHERE id = ?1";
        hand.execute(set, rusqlite::params![id.as_str(), step])
            .unwrap();
    }
    let mut told: Vec<KeyId> = claimed(&store, 1).await.iter().map(|it| it.id).collect();
    told.sort();
    let mut due = ids.split_off(2);
    due.sort();
    assert_eq!(told, due);
}

/// Rows that cannot be read as records keep nothing from being told.
#[tokio::test]
async fn rows_that_cannot_be_read_hold_nothing_up() {
    let folder = Folder::new();
    let path = folder.keys();
    let (ring, store) = ring(&path);
    let edits = [
        "metadata = 'no JSON'",
        "scopes = 'read  write'",
        "subject = '=1+1'",
        "version = 0",
        "generation = -1",
        "label = x'ff'",
        "digest = x'00'",
        "last_used_at = -1",
    ];
    let connection = Connection::open(&path).unwrap();
    for edit in edits {
        let id = issue(&ring).await;
        unguarded(&connection, || {
            let edit = format!("UPDATE OR IGNORE api_keys SET {edit} WHERE id = '{id}'");
            let _ = connection.execute(&edit, []);
        });
    }
    issue(&ring).await;
    assert_eq!(claimed(&store, 1).await.len(), edits.len() + 1);
    assert_eq!(claimed(&store, 1).await, []);
    assert_eq!(noted(&store).await.len(), edits.len() + 1);
}
