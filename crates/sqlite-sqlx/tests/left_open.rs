//! Connections that an application has left in a transaction, which sqlx gives back to the pool as they are.

use sqlx::sqlite::SqlitePool;
use tower_api_key::store::ListQuery;
use tower_api_key::{Grant, RevocationReason};

use super::{REVOKED, over, pool_with, ring, settings, sqlx, store, verdict};
use tower_api_key_test_support::folder::Folder;

/// Begins by a statement, reads, and forgets to end, as a dropped future does.
async fn leave_open(pool: &SqlitePool) {
    let mut connection = pool.acquire().await.unwrap();
    let begin = sqlx::raw_sql("BEGIN; SELECT count(*) FROM api_keys");
    begin.execute(&mut *connection).await.unwrap();
}

/// Its snapshot is from before the revocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_a_look_up_reads_no_snapshot_that_was_left_open() {
    let folder = Folder::new();
    let pool = pool_with(settings(&folder.keys()), 1).await;
    let server = ring(over(&pool).await);
    let shell = ring(store(&folder.keys()).await);
    let reason = RevocationReason::KeyCompromise;
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&server, &issued).await, Ok(()));
    leave_open(&pool).await;
    shell.revoke(issued.id(), reason).await.unwrap();
    assert_eq!(verdict(&server, &issued).await, REVOKED);

    let other = server.issue(Grant::new("alice")).await.unwrap();
    leave_open(&pool).await;
    shell.revoke(other.id(), reason).await.unwrap();
    let record = server.get(other.id()).await.unwrap().unwrap();
    assert!(record.revocation().is_some());
    leave_open(&pool).await;
    let third = shell.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(server.list(&ListQuery::new()).await.unwrap().len(), 3);
    assert_eq!(verdict(&server, &third).await, Ok(()));
}

/// A commit within it would be undone with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_a_revocation_is_committed_in_no_transaction_that_was_left_open() {
    let folder = Folder::new();
    let pool = pool_with(settings(&folder.keys()), 1).await;
    let server = ring(over(&pool).await);
    let shell = ring(store(&folder.keys()).await);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    leave_open(&pool).await;
    let reason = RevocationReason::KeyCompromise;
    server.revoke(issued.id(), reason).await.unwrap();
    assert_eq!(verdict(&shell, &issued).await, REVOKED);
}
