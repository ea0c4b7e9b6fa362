//! Notices of expiry of the keys in a file.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::replica::Feed;
use tower_api_key::store::{ExpiryLadder, ExpiryNotice, HistoryQuery, KeyStore, StoreErrorKind};
use tower_api_key::{Grant, KeyId, KeyRing, ManualClock, Realm, Timestamp};
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
    assert_eq!(after.len(), entries);
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
    drop((ring, store, hand));
    SqliteStore::restore(&backup).into(&path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(claimed(&store, 30).await, []);
    let week = claimed(&store, 7).await;
    assert_eq!(
        week.iter().map(|notice| notice.id).collect::<Vec<_>>(),
        [later]
    );
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
}
