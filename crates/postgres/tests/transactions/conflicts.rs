//! Other sessions that change the same keys at the same time.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key::{Error, ErrorKind, KeyDigest, KeyRing, Narrowing};
use tower_api_key_postgres::InTransaction;
use tower_api_key_postgres::sqlx;

use std::error::Error as _;
use std::time::Duration;

use super::super::builder;
use super::super::errors::source;
use super::{Application, REASON, REPLACED, REVOKED, UNKNOWN, editor, verdict};
use tower_api_key_test_support::pg_server::until;
use tower_api_key_test_support::support::{issue, poll_once};

/// The number of the lock of alice in the realm `orders`.
fn lock() -> i64 {
    let digest = KeyDigest::sha256(b"tower-api-key subject\0orders\0alice");
    i64::from_be_bytes(digest.as_bytes()[..8].try_into().unwrap())
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

/// Waits until a session waits for a lock, including a row lock.
async fn until_someone_waits(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(async || {
        let count = sqlx::query_scalar(waiting).fetch_one(&mut connection).await;
        let count: i64 = count.unwrap();
        count > 0
    })
    .await;
}

/// The rotation reads the key, and waits. Meanwhile the key loses a scope, and so does its successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_a_change_is_computed_anew_from_what_another_has_committed() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read write").await;
    let id = old.record().id();
    let mut other = PgConnection::connect(&app.url).await.unwrap();
    let begun = format!("BEGIN; SELECT pg_advisory_xact_lock({})", lock());
    run(&mut other, &begun).await;
    let rotating = {
        let (pool, ring) = (app.pool.clone(), app.ring.clone());
        tokio::spawn(async move {
            let mut transaction = pool.begin().await.unwrap();
            let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
            let issued = keys.rotate(id, Duration::from_mins(1)).await.unwrap();
            let unannounced = keys.finish();
            transaction.commit().await.unwrap();
            unannounced.announce();
            issued
        })
    };
    until_someone_waits(&app.url).await;
    let narrow = format!(
        "UPDATE tower_api_keys SET scopes = 'read', version = version + 1 WHERE id = '{id}'; COMMIT"
    );
    run(&mut other, &narrow).await;
    let new = rotating.await.unwrap();
    assert_eq!(new.record().scopes().as_str(), "read");
    assert_eq!(new.record().generation(), 1);
    assert_eq!(app.verdict(&old).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_a_subject_has_no_more_keys_than_its_limit_whoever_issues() {
    let app = Application::new().await;
    let limited = builder()
        .max_keys_per_subject(1)
        .build(app.store.clone())
        .unwrap();
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&limited, &mut transaction)
        .await
        .unwrap();
    let first = keys.issue(editor()).await.unwrap();
    let error = keys.issue(editor()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyKeys { limit: 1 });
    let issuing = {
        let limited = limited.clone();
        tokio::spawn(async move { limited.issue(editor()).await })
    };
    until_someone_waits(&app.url).await;
    transaction.commit().await.unwrap();
    let error = issuing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyKeys { limit: 1 });
    assert_eq!(verdict(&limited, &first).await, Ok(()));
}

/// A login in the transaction of the application takes the place of the oldest key, and so does one of another session
/// that waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_in_a_transaction_holds_the_limit() {
    let app = Application::new().await;
    let limited = builder()
        .max_keys_per_subject(1)
        .build(app.store.clone())
        .unwrap();
    let first = limited.issue(editor()).await.unwrap();
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&limited, &mut transaction)
        .await
        .unwrap();
    let second = keys.issue_replacing_oldest(editor()).await.unwrap();
    assert_eq!(verdict(&limited, &first).await, Ok(()), "before the commit");
    let third = {
        let limited = limited.clone();
        tokio::spawn(async move { limited.issue_replacing_oldest(editor()).await })
    };
    until_someone_waits(&app.url).await;
    transaction.commit().await.unwrap();
    let third = third.await.unwrap().unwrap();
    for ended in [&first, &second] {
        assert_eq!(verdict(&limited, ended).await, REVOKED);
    }
    assert_eq!(verdict(&limited, &third).await, Ok(()));
}

/// A subject that ends in a transaction: a key that another session issues meanwhile comes before
/// or after.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_nobody_issues_to_a_subject_that_ends_before_the_commit() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read").await;
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    assert_eq!(keys.revoke_subject("alice", REASON).await.unwrap(), 1);
    let issuing = {
        let ring = app.ring.clone();
        tokio::spawn(async move { issue(&ring, "read").await })
    };
    until_someone_waits(&app.url).await;
    assert_eq!(app.verdict(&old).await, Ok(()));
    transaction.commit().await.unwrap();
    assert_eq!(app.verdict(&old).await, REVOKED);
    assert_eq!(app.verdict(&issuing.await.unwrap()).await, Ok(()));
}

/// A refused operation leaves the transaction as it was, and the transaction can continue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_undone_alone() {
    let app = Application::new().await;
    let ring = builder().accept_imports().build(app.store.clone()).unwrap();
    let old = issue(&ring, "read").await;
    let id = old.record().id();
    let nowhere = "000000000000".parse().unwrap();
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
    let wider = Narrowing::new().to_scopes("read write");
    assert_eq!(kind(keys.narrow(id, wider).await), ErrorKind::WouldWiden);
    assert_eq!(
        kind(keys.regrant(nowhere, editor()).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(keys.revoke(nowhere, REASON).await),
        ErrorKind::NotFound
    );
    // The database itself refuses this one.
    let digest = *old.record().digest();
    let duplicate = keys
        .import_digest(editor().expires_in(Duration::from_hours(24)), digest)
        .await;
    assert_eq!(kind(duplicate), ErrorKind::Duplicate);
    let new = keys.regrant(id, editor()).await.unwrap();
    drop(keys.finish());
    transaction.commit().await.unwrap();
    assert_eq!(app.verdict(&old).await, REPLACED);
    assert_eq!(app.verdict(&new).await, Ok(()));
    assert_eq!(app.role().await, "editor");
}

fn kind<T: std::fmt::Debug>(refused: Result<T, Error>) -> ErrorKind {
    refused.unwrap_err().kind()
}

/// Each waits for the other's lock. A retry in the same transaction would not help.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deadlock_is_an_error_that_says_to_begin_anew() {
    let app = Application::new().await;
    let mut other = PgConnection::connect(&app.url).await.unwrap();
    let begun = format!(
        "SET deadlock_timeout = '1h'; BEGIN; SELECT pg_advisory_xact_lock({})",
        lock()
    );
    run(&mut other, &begun).await;
    let mut transaction = app.begun().await;
    let waiting = tokio::spawn(async move {
        run(
            &mut other,
            "UPDATE users SET role = 'x' WHERE name = 'alice'",
        )
        .await;
        run(&mut other, "COMMIT").await;
    });
    until_someone_waits(&app.url).await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    let error = keys.issue(editor()).await.unwrap_err();
    assert_eq!(store_error(&error).kind(), StoreErrorKind::Busy);
    assert_eq!(
        source(&error),
        "roll the transaction back, and begin it anew: another session waits for what it has \
         changed"
    );
    drop(keys.finish());
    transaction.rollback().await.unwrap();
    waiting.await.unwrap();
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    let issued = keys.issue(editor()).await.unwrap();
    assert_eq!(app.verdict(&issued).await, UNKNOWN);
    transaction.commit().await.unwrap();
    assert_eq!(app.verdict(&issued).await, Ok(()));
}

pub(super) fn store_error(error: &Error) -> &StoreError {
    assert_eq!(error.kind(), ErrorKind::Store);
    error.source().unwrap().downcast_ref().unwrap()
}

/// A transaction that holds the lock of a subject and stands still is ended, so that the subject's
/// keys can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r32_a_transaction_that_stands_still_keeps_no_key_alive() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read").await;
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    let new = keys.issue(editor()).await.unwrap();
    drop(keys.finish());
    let ring: &KeyRing = &app.ring;
    assert_eq!(ring.revoke_subject("alice", REASON).await.unwrap(), 1);
    assert_eq!(app.verdict(&old).await, REVOKED);
    transaction.commit().await.unwrap_err();
    assert_eq!(app.verdict(&new).await, UNKNOWN);
}

/// A call that is dropped half-way, as by a timeout: its transaction does no more, and the next
/// transaction does not execute its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_3_nothing_follows_a_call_that_was_dropped() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read").await;
    let id = old.record().id();
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    let polled = poll_once(&mut Box::pin(keys.regrant(id, editor())));
    assert!(polled.is_pending());
    for _ in 0..2 {
        let error = keys.issue(editor()).await.unwrap_err();
        assert_eq!(store_error(&error).kind(), StoreErrorKind::Unavailable);
        assert_eq!(
            source(&error),
            "roll the transaction back: a call was dropped before it ended"
        );
    }
    drop(keys.finish());
    transaction.rollback().await.unwrap();
    assert_eq!(app.verdict(&old).await, Ok(()));
}
