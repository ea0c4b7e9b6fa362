//! How old a replica may be, and how durable a revocation is.

use std::time::Duration;

use sqlx::{Connection, PgPool};
use tower_api_key::RevocationReason;
use tower_api_key::replica::{Feed, Head};
use tower_api_key::store::StoreErrorKind;
use tower_api_key_postgres::{InTransaction, PostgresStore};

use super::super::errors::source;
use super::super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{database, execute, patient};
use tower_api_key_test_support::support::issue;

const SECOND: Duration = Duration::from_secs(1);

async fn head(store: &PostgresStore) -> Head {
    store.head().await.unwrap()
}

#[tokio::test]
async fn the_staleness_is_that_of_the_database() {
    let url = database().await;
    let store = connect(&url).await;
    assert_eq!(store.staleness().await.unwrap(), 5 * SECOND);
    let first = head(&store).await;
    assert_eq!(
        (first.staleness, first.longest_staleness),
        (5 * SECOND, 5 * SECOND)
    );

    for (set, longest) in [(60, 60), (60, 60), (1, 60), (2, 60), (90, 90), (3, 90)] {
        let (set, longest) = (set * SECOND, longest * SECOND);
        store.set_staleness(set).await.unwrap();
        assert_eq!(store.staleness().await.unwrap(), set);
        let head = head(&store).await;
        assert_eq!((head.staleness, head.longest_staleness), (set, longest));
    }
    // By hand, and twenty minutes later.
    execute(&url, "UPDATE tower_api_key_feed SET staleness_ms = 700")
        .await
        .unwrap();
    let long_ago = "UPDATE tower_api_key_feed SET former_until = now() - interval '1 second'";
    execute(&url, long_ago).await.unwrap();
    let last = head(&store).await;
    let due = Duration::from_millis(700);
    assert_eq!((last.staleness, last.longest_staleness), (due, due));
}

#[tokio::test]
async fn a_staleness_has_bounds() {
    let url = database().await;
    let store = connect(&url).await;
    for out in [
        Duration::ZERO,
        Duration::from_millis(99),
        Duration::from_millis(600_001),
        Duration::MAX,
    ] {
        let error = store.set_staleness(out).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported);
        assert_eq!(source(&error), "a staleness is from 100 ms to ten minutes");
    }
    for bound in [Duration::from_millis(100), Duration::from_mins(10)] {
        store.set_staleness(bound).await.unwrap();
        assert_eq!(store.staleness().await.unwrap(), bound);
    }
    let error = execute(&url, "UPDATE tower_api_key_feed SET staleness_ms = 600001").await;
    assert_eq!(
        error
            .unwrap_err()
            .into_database_error()
            .unwrap()
            .code()
            .as_deref(),
        Some("23514")
    );
}

/// Whatever the setting of the session is, and whoever makes the change.
#[tokio::test]
async fn what_takes_authority_away_is_durable_when_it_is_acknowledged() {
    let url = database().await;
    let pool = PgPool::connect(&url).await.unwrap();
    let ring = ring_over(patient().with_pool(pool.clone()).await.unwrap());
    for (setting, revokes, due) in [
        ("off", true, "on"),
        ("local", true, "on"),
        ("remote_write", true, "on"),
        ("on", true, "on"),
        ("remote_apply", true, "remote_apply"),
        ("off", false, "off"),
    ] {
        let issued = issue(&ring, "read").await;
        let mut transaction = pool.begin().await.unwrap();
        let set = sqlx::AssertSqlSafe(format!("SET LOCAL synchronous_commit = {setting}"));
        sqlx::raw_sql(set).execute(&mut *transaction).await.unwrap();
        let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
        if revokes {
            let reason = RevocationReason::KeyCompromise;
            keys.revoke(issued.record().id(), reason).await.unwrap();
        } else {
            let grant = tower_api_key::Grant::new("alice").scopes(["read"]);
            keys.issue(grant).await.unwrap();
        }
        keys.finish().announce();
        let shown = "SELECT current_setting('synchronous_commit')";
        let shown: String = sqlx::query_scalar(shown)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(shown, due, "{setting}");
        transaction.commit().await.unwrap();
    }

    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    for statement in [
        "SELECT tower_api_key_end_subject('orders', 'alice')",
        "DELETE FROM tower_api_keys",
        "TRUNCATE tower_api_keys",
    ] {
        let text = format!("BEGIN; SET LOCAL synchronous_commit = off; {statement}");
        let text = sqlx::AssertSqlSafe(text);
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        let shown = sqlx::raw_sql("SHOW synchronous_commit")
            .fetch_one(&mut connection)
            .await;
        let shown: String = sqlx::Row::get(&shown.unwrap(), 0);
        assert_eq!(shown, "on", "{statement}");
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut connection)
            .await
            .unwrap();
    }
}
