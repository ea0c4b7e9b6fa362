//! Files that are locked, replaced, or have several names.

use std::time::Duration;

use tower_api_key::store::StoreErrorKind;
use tower_api_key::{Grant, RevocationReason, VerifyErrorKind};
use tower_api_key_sqlite_sqlx::{SqlxSqliteStore, sqlx};

use super::{REVOKED, advice, over, pool, pool_with, ring, settings, store, store_error, verdict};
use tower_api_key_test_support::folder::Folder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_locked_database_is_busy_and_look_ups_go_on() {
    let folder = Folder::new();
    let impatient = settings(&folder.keys()).busy_timeout(Duration::from_millis(50));
    let ring = ring(over(&pool_with(impatient, 2).await).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let other = pool(&folder.keys()).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    let error = ring.revoke(issued.id(), reason).await.unwrap_err();
    assert_eq!(store_error(&error).kind(), StoreErrorKind::Busy);
    assert_eq!(verdict(&ring, &issued).await, Ok(()), "it was not revoked");
    lock.rollback().await.unwrap();
    ring.revoke(issued.id(), reason).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, REVOKED);
}

/// Without a log, a writer keeps readers out while it commits: a 503, never an unknown key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_look_up_of_a_locked_database_is_no_unknown_key() {
    let folder = Folder::new();
    let without_log = settings(&folder.keys())
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Truncate)
        .busy_timeout(Duration::from_millis(50));
    let pool = pool_with(without_log, 2).await;
    let ring = ring(over(&pool).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let lock = pool.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let unavailable = Err(VerifyErrorKind::StoreUnavailable);
    assert_eq!(verdict(&ring, &issued).await, unavailable);
    lock.rollback().await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
}

/// A backup that is put in the place of the file, while connections lead to the old one.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_file_that_was_replaced_is_no_answer() {
    let folder = Folder::new();
    let ring = ring(store(&folder.keys()).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
    let backup = folder.fresh();
    std::fs::copy(folder.keys(), &backup).unwrap();
    std::fs::rename(&backup, folder.keys()).unwrap();
    let unavailable = Err(VerifyErrorKind::StoreUnavailable);
    assert_eq!(verdict(&ring, &issued).await, unavailable);
    let reason = RevocationReason::KeyCompromise;
    let error = ring.revoke(issued.id(), reason).await.unwrap_err();
    assert_eq!(store_error(&error).kind(), StoreErrorKind::Unavailable);
    ring.get(issued.id()).await.unwrap_err();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_with_several_names_is_refused() {
    let folder = Folder::new();
    let pool = pool(&folder.keys()).await;
    over(&pool).await;
    std::fs::hard_link(folder.keys(), folder.fresh()).unwrap();
    let error = SqlxSqliteStore::from_pool(pool).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        advice(&error).ends_with("leave it one name"),
        "{}",
        advice(&error)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pool_is_no_unknown_key() {
    let folder = Folder::new();
    let pool = pool(&folder.keys()).await;
    let ring = ring(over(&pool).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    pool.close().await;
    let unavailable = Err(VerifyErrorKind::StoreUnavailable);
    assert_eq!(verdict(&ring, &issued).await, unavailable);
}
