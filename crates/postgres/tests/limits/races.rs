//! Sessions that give a subject keys, take them away and count them at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tower_api_key::{Grant, RevocationReason};
use tower_api_key_postgres::sqlx;

use super::{A_WHILE, LATER, NOW, fill, forty, has, holds, id, kept, limited, truth, waits};
use crate::connect;
use tower_api_key_test_support::pg_server::{database, execute, soon, until};

async fn run(connection: &mut PgConnection, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

/// A session has inserted keys and not committed while the first number of the subject is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_waits_for_keys_that_are_not_committed() {
    // A subject without keys, one with few, and one with a number.
    for before in [0, 5, 40] {
        let url = database().await;
        let store = connect(&url).await;
        execute(&url, &fill(0, before, "NULL")).await.unwrap();
        assert!(holds(&store, 100, NOW).await);
        let before = usize::try_from(before).unwrap();
        let mut other = PgConnection::connect(&url).await.unwrap();
        run(&mut other, "BEGIN").await;
        run(&mut other, &fill(100, 40, "NULL")).await;
        let ring = limited(store.clone(), before + 41);
        let issue = tokio::spawn(async move { ring.issue(Grant::new("alice")).await });
        until(async || waits(&url).await).await;
        run(&mut other, "COMMIT").await;
        issue.await.unwrap().unwrap();
        assert!(has(&store, before + 41, NOW).await);
        assert_eq!(kept(&url).await, Some(i64::try_from(before).unwrap() + 41));
    }
}

/// The same of a change that adds no key, and so has no lock of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_waits_for_keys_that_are_not_committed() {
    let (url, store) = forty().await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    run(&mut other, "BEGIN").await;
    run(&mut other, &fill(100, 5, "NULL")).await;
    let asked = tokio::spawn(async move { holds(&store, 30, LATER).await });
    until(async || waits(&url).await).await;
    run(&mut other, "COMMIT").await;
    assert!(asked.await.unwrap());
    assert_eq!(kept(&url).await, Some(25));
}

/// The subject has no row, as after a crash. The other session would make it between a count and its number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_without_a_row_has_no_number() {
    let (url, store) = forty().await;
    execute(&url, "DELETE FROM tower_api_key_subjects")
        .await
        .unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    run(&mut other, "BEGIN").await;
    run(&mut other, &fill(100, 5, "NULL")).await;
    // A number that is written waits for this, and one that is read does not.
    let lock = "LOCK TABLE tower_api_key_subjects IN SHARE ROW EXCLUSIVE MODE";
    run(&mut other, lock).await;
    assert!(soon(holds(&store, 100, NOW)).await);
    run(&mut other, "COMMIT").await;
    assert_eq!(kept(&url).await, None);
    assert!(has(&store, 45, NOW).await);
    assert_eq!(kept(&url).await, Some(45));
}

/// A snapshot would not show the keys that were added since.
#[tokio::test]
async fn a_snapshot_of_a_transaction_has_no_number() {
    let (url, _) = forty().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for (level, within) in [
        ("READ COMMITTED", Some(true)),
        ("REPEATABLE READ", None),
        ("SERIALIZABLE", None),
    ] {
        run(&mut connection, &format!("BEGIN ISOLATION LEVEL {level}")).await;
        let asked = "SELECT tower_api_key_within('orders', 'alice', 1800000000, 1000)";
        let answer: Option<bool> = sqlx::query_scalar(asked)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(answer, within, "{level}");
        run(&mut connection, "ROLLBACK").await;
    }
}

/// A session inserts keys while a ring that has counted has not committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_by_hand_wait_for_a_count_that_is_not_committed() {
    let url = database().await;
    execute(&url, &fill(0, 40, "NULL")).await.unwrap();
    let store = connect(&url).await;
    let mut counting = PgConnection::connect(&url).await.unwrap();
    run(
        &mut counting,
        "BEGIN; SELECT tower_api_key_within('orders', 'alice', 1800000000, 1000)",
    )
    .await;
    let by_hand = {
        let url = url.clone();
        tokio::spawn(async move { execute(&url, &fill(100, 5, "NULL")).await })
    };
    until(async || waits(&url).await).await;
    run(&mut counting, "COMMIT").await;
    by_hand.await.unwrap().unwrap();
    assert_eq!(kept(&url).await, Some(45));
    assert!(has(&store, 45, NOW).await);
}

/// A snapshot from before the number would not show it.
#[tokio::test]
async fn a_session_with_an_older_snapshot_cannot_pass_the_number_by() {
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let url = database().await;
        let store = connect(&url).await;
        let mut other = PgConnection::connect(&url).await.unwrap();
        run(
            &mut other,
            &format!("BEGIN ISOLATION LEVEL {level}; SELECT 1 FROM tower_api_keys"),
        )
        .await;
        execute(&url, &fill(0, 40, "NULL")).await.unwrap();
        assert!(holds(&store, 50, NOW).await);
        assert_eq!(kept(&url).await, Some(40));
        let late = sqlx::raw_sql(AssertSqlSafe(fill(100, 5, "NULL")))
            .execute(&mut other)
            .await;
        let late = late.unwrap_err().into_database_error().unwrap();
        assert_eq!(late.code().as_deref(), Some("40001"));
        run(&mut other, "ROLLBACK").await;
        assert!(has(&store, 40, NOW).await);
    }
}

#[tokio::test]
async fn keys_that_are_rolled_back_leave_the_number_as_it_was() {
    let (url, store) = forty().await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    run(&mut other, "BEGIN").await;
    run(&mut other, &fill(100, 1, "NULL")).await;
    run(&mut other, "SAVEPOINT two").await;
    run(&mut other, &fill(200, 5, "NULL")).await;
    run(&mut other, "ROLLBACK TO two; COMMIT").await;
    assert_eq!(kept(&url).await, Some(41));
    assert!(has(&store, 41, NOW).await);
}

/// A session that has given the subject a key, and does not commit, keeps none of its keys alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_no_revocation_waits_for_the_number() {
    let (url, store) = forty().await;
    let ring = limited(store.clone(), 100);
    let key = ring.issue(Grant::new("alice")).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    run(&mut other, "BEGIN").await;
    run(&mut other, &fill(100, 1, "NULL")).await;
    let reason = RevocationReason::KeyCompromise;
    let revoked = tokio::time::timeout(A_WHILE, ring.revoke(key.id(), reason)).await;
    revoked.expect("it does not wait").unwrap();
    ring.verify(key.secret().expose().as_bytes())
        .await
        .unwrap_err();
    let revoked = tokio::time::timeout(A_WHILE, ring.revoke_subject("alice", reason)).await;
    assert_eq!(revoked.expect("it does not wait").unwrap(), 40);
    let purge = format!("DELETE FROM tower_api_keys WHERE id <> '{}'", id(100));
    let purged = tokio::time::timeout(A_WHILE, execute(&url, &purge)).await;
    assert_eq!(purged.expect("it does not wait").unwrap(), 41);
    run(&mut other, "COMMIT").await;
    // It is too high now, and counts no key twice.
    assert!(kept(&url).await >= Some(1));
    assert!(has(&store, 1, NOW).await);
}

/// A revocation by hand has no lock that a ring waits for, in whatever order the session takes others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_by_hand_keeps_nobody_from_issuing() {
    let (url, store) = forty().await;
    let ring = limited(store.clone(), 100);
    let mut other = PgConnection::connect(&url).await.unwrap();
    let revoke = "BEGIN; UPDATE tower_api_keys SET revoked_at = 1, revocation_reason = 'unspecified', \
                  version = version + 1 WHERE id = '000000000001'";
    run(&mut other, revoke).await;
    let issued = tokio::time::timeout(A_WHILE, ring.issue(Grant::new("alice"))).await;
    issued.expect("it does not wait").unwrap();
    run(&mut other, "COMMIT").await;
    assert_eq!(kept(&url).await, Some(41));
    assert!(has(&store, 40, NOW).await);
}

/// The session has the lock of the row and wants that of the subject, the ring has them the other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_adds_a_key_and_ends_its_subject_does_not_wait_for_ever() {
    let (url, store) = forty().await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    run(&mut other, "BEGIN").await;
    run(&mut other, &fill(100, 1, "NULL")).await;
    let ring = limited(store.clone(), 100);
    let issue = tokio::spawn(async move { ring.issue(Grant::new("alice")).await });
    until(async || waits(&url).await).await;
    let ended = sqlx::raw_sql("SELECT tower_api_key_end_subject('orders', 'alice'); COMMIT")
        .execute(&mut other)
        .await;
    if let Err(error) = ended {
        let error = error.into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("40P01"));
        run(&mut other, "ROLLBACK").await;
    }
    soon(issue).await.unwrap().unwrap();
    let (keys, kept) = truth(&mut other).await;
    assert!(kept.is_none_or(|kept| kept >= keys), "{kept:?} of {keys}");
}

/// Three rings and three hands, and a reader that compares the number with the keys in each snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_number_is_never_too_low_in_any_snapshot() {
    let (url, store) = forty().await;
    let most = 120;
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (url, is_over) = (url.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let mut compared = 0;
            while !is_over.load(Ordering::Relaxed) {
                let (keys, kept) = truth(&mut connection).await;
                assert!(kept.is_none_or(|kept| kept >= keys), "{kept:?} of {keys}");
                compared += u32::from(kept.is_some());
            }
            compared
        })
    };
    let mut writers = Vec::new();
    for number in 0..3 {
        let ring = limited(connect(&url).await, most);
        writers.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for round in 0..60 {
                if let Ok(issued) = ring.issue(Grant::new("alice")).await {
                    ids.push(issued.id());
                }
                if (round + number) % 3 == 0
                    && let Some(id) = ids.pop()
                {
                    let reason = RevocationReason::Superseded;
                    ring.revoke(id, reason).await.unwrap();
                }
            }
        }));
    }
    for number in 1..=3 {
        let url = url.clone();
        writers.push(tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            for round in 0..30 {
                let first = number * 10_000 + round * 10;
                run(&mut connection, "BEGIN").await;
                run(&mut connection, &fill(first, 2, "NULL")).await;
                let ends = match round % 3 {
                    0 => "ROLLBACK".to_owned(),
                    1 => "COMMIT".to_owned(),
                    _ => format!(
                        "DELETE FROM tower_api_keys WHERE id = '{}'; COMMIT",
                        id(first)
                    ),
                };
                run(&mut connection, &ends).await;
            }
        }));
    }
    for writer in writers {
        soon(writer).await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 0);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (keys, _) = truth(&mut connection).await;
    assert!(has(&store, usize::try_from(keys).unwrap(), NOW).await);
}
