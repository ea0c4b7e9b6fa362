//! Keys that cannot be read, and rows that the database guards.

use tower_api_key::store::{ListQuery, StoreErrorKind};
use tower_api_key::{Grant, RevocationReason, VerifyErrorKind};

use super::{REVOKED, over, pool_with, ring, run, settings, sqlx, store_error, verdict};
use tower_api_key_test_support::folder::Folder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_a_key_that_cannot_be_read_is_revoked_all_the_same() {
    let folder = Folder::new();
    let pool = pool_with(settings(&folder.keys()), 1).await;
    let ring = ring(over(&pool).await);
    let broken = ring.issue(Grant::new("alice")).await.unwrap();
    let sound = ring.issue(Grant::new("alice")).await.unwrap();
    let guard = "api_keys_keep_their_identity";
    let kept: String = sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?")
        .bind(guard)
        .fetch_one(&pool)
        .await
        .unwrap();
    run(&pool, format!("DROP TRIGGER {guard}")).await;
    let id = broken.id();
    run(
        &pool,
        format!("UPDATE api_keys SET issued_at = 9223372036854775807 WHERE id = '{id}'"),
    )
    .await;
    run(
        &pool,
        format!("UPDATE api_keys SET subject = CAST(x'61FF' AS TEXT) WHERE id = '{id}'"),
    )
    .await;
    run(&pool, kept).await;

    let error = ring.get(id).await.unwrap_err();
    assert_eq!(store_error(&error).kind(), StoreErrorKind::Corrupt);
    let verdict_of_broken = verdict(&ring, &broken).await.unwrap_err();
    assert_eq!(verdict_of_broken, VerifyErrorKind::StoreUnavailable);
    assert_eq!(verdict(&ring, &sound).await, Ok(()));
    let page = ring.list(&ListQuery::new()).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page.unreadable()[0].id(), Some(id));

    ring.revoke(id, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let revoked: i64 =
        sqlx::query_scalar("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(revoked, 1);
    let subject = ring.revoke_subject("alice", RevocationReason::KeyCompromise);
    assert_eq!(subject.await.unwrap(), 1);
    assert_eq!(verdict(&ring, &sound).await, REVOKED);
}

/// The application's own statements on the same pool.
#[tokio::test]
async fn r01_a_statement_of_the_application_widens_no_key() {
    let folder = Folder::new();
    let pool = pool_with(settings(&folder.keys()), 1).await;
    let ring = ring(over(&pool).await);
    ring.issue(Grant::new("alice").scopes(["read"]))
        .await
        .unwrap();
    let widen = "UPDATE api_keys SET scopes = 'read write', version = version + 1";
    let error = sqlx::query(widen).execute(&pool).await.unwrap_err();
    let message = error.as_database_error().unwrap().message().to_owned();
    assert_eq!(message, "api_keys: a key gains no scope");
}
