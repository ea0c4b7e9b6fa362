//! Notices of expiry of the keys in a file.

use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use tower_api_key::store::{ExpiryLadder, HistoryKind, HistoryQuery, KeyStore};
use tower_api_key::{Grant, Timestamp};
use tower_api_key_sqlite_sqlx::sqlx;

use super::{over, pool, ring};
use tower_api_key_test_support::folder::Folder;

const DAY: u64 = 24 * 60 * 60;

async fn version(other: &SqlitePool) -> i64 {
    let version = sqlx::query_scalar("PRAGMA data_version");
    version.fetch_one(other).await.unwrap()
}

/// A turn at which nothing is due leaves the file as it is, and one that claims is an entry of a ring.
#[tokio::test]
async fn only_a_claim_writes() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = over(&pool(&path).await).await;
    let ring = ring(store.clone());
    let issued = ring
        .issue(Grant::new("alice").expires_in(Duration::from_secs(90 * DAY)))
        .await
        .unwrap();
    let end = issued.record().expires_at().unwrap().as_unix();
    let claim = async |days: u64| {
        let now = Timestamp::from_unix(end - days * DAY);
        let ladder = ExpiryLadder::default();
        let claims = store.claim_expiry_notices(ring.realm(), &ladder, now, 100);
        claims.await.unwrap().notices
    };
    // The version is that which one connection sees.
    let other = super::pool_with(super::settings(&path), 1).await;
    let before = version(&other).await;
    assert_eq!(claim(31).await, []);
    assert_eq!(version(&other).await, before);
    let told = claim(30).await;
    assert_eq!(told.len(), 1);
    assert_ne!(version(&other).await, before);
    let before = version(&other).await;
    assert_eq!(claim(30).await, []);
    assert_eq!(version(&other).await, before);

    let entries = ring.history(&HistoryQuery::new()).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].kind(), HistoryKind::ExpiryNoticed);
    assert_eq!(entries[0].expiry_notice().as_ref(), Some(&told[0]));
    assert!(!entries[0].is_by_hand());
}
