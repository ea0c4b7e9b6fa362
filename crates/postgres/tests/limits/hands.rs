//! Statements by other hands than a ring's: a number that is kept is never too low.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tower_api_key_postgres::sqlx;

use super::{LATER, NOW, fill, forty, has, holds, id, kept};
use tower_api_key_test_support::pg_server::{PgServer, execute, soon};

const UNGUARDED: &str = "ALTER TABLE tower_api_keys DISABLE TRIGGER tower_api_keys_guard";

#[tokio::test]
async fn rows_that_are_inserted_count() {
    let (url, store) = forty().await;
    execute(&url, &fill(100, 2, "NULL")).await.unwrap();
    assert_eq!(kept(&url).await, Some(42));
    // One that was revoked before does not.
    let revoked = fill(200, 1, "NULL")
        .replace("metadata)", "metadata, revoked_at, revocation_reason)")
        .replace("'{}'", "'{}', 1, 'unspecified'");
    execute(&url, &revoked).await.unwrap();
    assert_eq!(kept(&url).await, Some(42));
    // As a logical replica applies changes, and as a dump is restored.
    let replica = format!("{url}?options[session_replication_role]=replica");
    execute(&replica, &fill(300, 1, "NULL")).await.unwrap();
    assert_eq!(kept(&url).await, Some(43));
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let copy = "COPY tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation, \
                version, metadata) FROM STDIN";
    let mut copying = connection.copy_in_raw(copy).await.unwrap();
    let digest = "ab".repeat(32);
    let id = id(400);
    let row = format!("{id}\torders\t\\\\x{digest}\talice\tread\t1\t1\t{id}\t0\t1\t{{}}\n");
    copying.send(row.as_bytes()).await.unwrap();
    assert_eq!(copying.finish().await.unwrap(), 1);
    assert_eq!(kept(&url).await, Some(44));
    assert!(has(&store, 44, NOW).await);
}

/// The number is too high then, and the next limit that needs the room counts.
#[tokio::test]
async fn what_takes_keys_away_lowers_a_number_no_further_than_it_may() {
    let (url, store) = forty().await;
    assert!(has(&store, 20, LATER).await);
    let revoke = "UPDATE tower_api_keys SET revoked_at = 1, revocation_reason = 'unspecified', version = version + 1";
    for statement in [
        format!("{revoke} WHERE id IN ('{}', '{}')", id(0), id(1)),
        format!(
            "UPDATE tower_api_keys SET retire_at = 5, version = version + 1 WHERE id IN ('{}', '{}')",
            id(2),
            id(3)
        ),
        format!(
            "DELETE FROM tower_api_keys WHERE id IN ('{}', '{}')",
            id(4),
            id(5)
        ),
        format!("{revoke} WHERE id IN ('{}', '{}')", id(2), id(3)),
    ] {
        execute(&url, &statement).await.unwrap();
        assert_eq!(kept(&url).await, Some(20), "{statement}");
    }
    assert!(has(&store, 17, LATER).await);
    assert_eq!(kept(&url).await, Some(17));
    assert!(has(&store, 34, NOW).await);
}

/// The guard refuses that. Its owner can disable it.
#[tokio::test]
async fn keys_that_are_brought_back_count() {
    let (url, store) = forty().await;
    execute(&url, UNGUARDED).await.unwrap();
    let revoke =
        "UPDATE tower_api_keys SET revoked_at = 1, revocation_reason = 'unspecified' WHERE id < ";
    execute(&url, &format!("{revoke}'{}'", id(10)))
        .await
        .unwrap();
    assert!(has(&store, 30, NOW).await);
    assert!(has(&store, 15, LATER).await);
    for (statement, keys) in [
        (
            "revoked_at = NULL, revocation_reason = NULL WHERE id = '000000000001'",
            16,
        ),
        ("expires_at = NULL WHERE id = '000000000010'", 17),
        ("expires_at = 9999999999 WHERE id = '000000000012'", 18),
    ] {
        execute(&url, &format!("UPDATE tower_api_keys SET {statement}"))
            .await
            .unwrap();
        assert!(!holds(&store, keys - 1, LATER).await, "{statement}");
        assert!(kept(&url).await >= i64::try_from(keys).ok(), "{statement}");
    }
    // A key whose time in grace was over.
    let retired = "UPDATE tower_api_keys SET retire_at = 5 WHERE id = '000000000013'";
    execute(&url, retired).await.unwrap();
    assert!(has(&store, 17, LATER).await);
    let back = "UPDATE tower_api_keys SET retire_at = NULL WHERE id = '000000000013'";
    execute(&url, back).await.unwrap();
    assert!(has(&store, 18, LATER).await);
}

#[tokio::test]
async fn keys_that_move_to_a_subject_count() {
    let (url, store) = forty().await;
    execute(&url, UNGUARDED).await.unwrap();
    for (number, column, value) in [(100, "subject", "bob"), (101, "realm", "other")] {
        let here = if column == "subject" {
            "alice"
        } else {
            "orders"
        };
        let elsewhere = fill(number, 1, "NULL").replace(here, value);
        execute(&url, &elsewhere).await.unwrap();
        let before = kept(&url).await.unwrap();
        let here = format!(
            "UPDATE tower_api_keys SET {column} = '{here}' WHERE id = '{}'",
            id(number)
        );
        execute(&url, &here).await.unwrap();
        assert_eq!(kept(&url).await, Some(before + 1), "{column}");
    }
    assert!(has(&store, 42, NOW).await);
}

#[tokio::test]
async fn an_empty_table_keeps_no_names() {
    let (url, store) = forty().await;
    execute(&url, "TRUNCATE tower_api_keys").await.unwrap();
    assert!(holds(&store, 0, NOW).await);
    let names = "DELETE FROM tower_api_key_subjects";
    assert_eq!(execute(&url, names).await.unwrap(), 0);
    execute(&url, &fill(0, 50, "NULL")).await.unwrap();
    assert!(has(&store, 50, NOW).await);
    assert_eq!(kept(&url).await, Some(50));
}

/// As `pg_restore --data-only --disable-triggers` does.
#[tokio::test]
async fn what_came_while_triggers_were_disabled_is_counted() {
    let (url, store) = forty().await;
    let restored = format!(
        "ALTER TABLE tower_api_keys DISABLE TRIGGER ALL; {}; \
         ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_count_new, \
         ENABLE ALWAYS TRIGGER tower_api_keys_count_revived",
        fill(100, 5, "NULL")
    );
    execute(&url, &restored).await.unwrap();
    assert_eq!(kept(&url).await, Some(40));
    assert!(has(&store, 45, NOW).await);
    assert_eq!(kept(&url).await, Some(45));
    // While one is not for every session, each limit counts.
    let ordinary = "ALTER TABLE tower_api_keys ENABLE TRIGGER tower_api_keys_count_new";
    execute(&url, ordinary).await.unwrap();
    assert!(has(&store, 45, NOW).await);
    let replica = format!("{url}?options[session_replication_role]=replica");
    execute(&replica, &fill(300, 1, "NULL")).await.unwrap();
    assert_eq!(kept(&url).await, Some(45));
    assert!(has(&store, 46, NOW).await);
}

/// A dump has the rows of both tables, and of the triggers others.
#[tokio::test]
async fn a_number_of_a_dump_is_counted_anew() {
    let (url, store) = forty().await;
    execute(
        &url,
        "UPDATE tower_api_key_subjects SET keys = 3, counted_by = '1 2'",
    )
    .await
    .unwrap();
    assert!(has(&store, 40, NOW).await);
}

/// A prepared transaction outlives a crash, and the lock of a row of an unlogged table does not.
#[tokio::test]
async fn a_transaction_that_was_prepared_before_a_crash_counts_after_it() {
    let server = PgServer::start("on");
    let url = server.database().await;
    execute(&url, &fill(0, 40, "NULL")).await.unwrap();
    let store = super::connect(&url).await;
    assert!(has(&store, 40, NOW).await);
    let mut other = PgConnection::connect(&url).await.unwrap();
    let prepare = format!(
        "BEGIN; {}; PREPARE TRANSACTION 'held'",
        fill(100, 5, "NULL")
    );
    sqlx::raw_sql(AssertSqlSafe(prepare))
        .execute(&mut other)
        .await
        .unwrap();
    server.stop();
    server.start_again();

    let store = super::connect(&url).await;
    soon(execute(&url, &fill(200, 1, "NULL"))).await.unwrap();
    assert!(has(&store, 41, NOW).await);
    assert_eq!(kept(&url).await, None);
    execute(&url, "COMMIT PREPARED 'held'").await.unwrap();
    assert!(has(&store, 46, NOW).await);
    assert_eq!(kept(&url).await, Some(46));
}
