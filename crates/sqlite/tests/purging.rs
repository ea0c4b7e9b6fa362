//! A purge of many steps, with concurrent writers.

use std::path::Path;

use rusqlite::Connection;
use tower_api_key::store::KeyStore;
use tower_api_key::{KeyId, KeyRing, Realm, RevocationReason, Timestamp};
use tower_api_key_sqlite::SqliteStore;

use super::sharing::{ring, ring_over};
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::support::{issue, poll_once};

/// More than a few steps remove.
const ENDED: u32 = 12_000;

const FILL: &str = "INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, \
     not_before, expires_at, lineage, generation, version, metadata) \
     WITH RECURSIVE number (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < ?1) \
     SELECT printf('%012d', n), 'orders', CAST(printf('%032d', n) AS BLOB), 'mallory', 'read', \
     100, 100, 200, printf('%012d', n), 0, 1, '{}' FROM number";

async fn revoke(ring: &KeyRing, id: KeyId) {
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(id, reason).await.unwrap();
}

/// The number of ended records that remain.
fn left(path: &Path) -> u32 {
    let count = "SELECT count(*) FROM api_keys WHERE subject = 'mallory'";
    let connection = Connection::open(path).unwrap();
    connection.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn r32_revocations_go_on_beside_a_purge() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let (own, other) = (ring_over(store.clone()), ring(&path));
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(issue(&own, "read").await.record().id());
    }
    let connection = Connection::open(&path).unwrap();
    connection.execute(FILL, [ENDED]).unwrap();

    let realm = Realm::new("orders").unwrap();
    let mut purge = store.purge(&realm, Timestamp::from_unix(1_000), None);
    // It takes no further step before it is polled again.
    assert!(poll_once(&mut purge).is_pending());
    revoke(&own, keys[0]).await;
    let left_by_one_step = left(&path);
    assert!(
        (1..ENDED).contains(&left_by_one_step),
        "{left_by_one_step} left when the revocation was through"
    );

    // Now it knows that the step is done, and pauses, so that others find the lock free.
    assert!(poll_once(&mut purge).is_pending());
    revoke(&other, keys[1]).await;
    // A step that was queued would be done before this.
    revoke(&own, keys[2]).await;
    assert_eq!(left(&path), left_by_one_step);

    assert_eq!(purge.await.unwrap(), u64::from(ENDED));
    assert_eq!(left(&path), 0);
}
