//! Transactions that do not belong to the store's database.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tower_api_key::KeyRing;
use tower_api_key::store::{MemoryStore, StoreErrorKind};
use tower_api_key_postgres::InTransaction;
use tower_api_key_postgres::sqlx;

use super::super::errors::source;
use super::super::ring_over;
use super::conflicts::store_error;
use super::{Application, editor};
use tower_api_key_test_support::pg_server::{database, execute, patient};
use tower_api_key_test_support::support::issue;

async fn begun(url: &str, begin: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let begin = AssertSqlSafe(begin.to_owned());
    // Some begin with a statement that fails.
    let _ = sqlx::raw_sql(begin).execute(&mut connection).await;
    connection
}

#[track_caller]
fn assert_refused(ring: &KeyRing, error: &tower_api_key::Error, kind: StoreErrorKind, text: &str) {
    assert_eq!(store_error(error).kind(), kind, "{ring:?} {error:?}");
    assert_eq!(source(error), text);
}

const SNAPSHOT: &str = "begin the transaction with ISOLATION LEVEL READ COMMITTED: a snapshot would \
                        miss keys that others have issued since";
const ELSEWHERE: &str = "roll the transaction back, and begin it on a connection to the store's own \
                         database: this one is another, or on a server that does not count";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_transaction_that_could_miss_a_key_is_refused() {
    let app = Application::new().await;
    for (begin, kind, text) in [
        (
            "SELECT 1",
            StoreErrorKind::Unavailable,
            "begin a transaction, and pass it: the connection has none: SAVEPOINT can only be \
             used in transaction blocks",
        ),
        (
            "BEGIN; SELECT 1 / 0",
            StoreErrorKind::Unavailable,
            "roll the transaction back: a statement of it has failed: current transaction is \
             aborted, commands ignored until end of transaction block",
        ),
        (
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            StoreErrorKind::Unavailable,
            SNAPSHOT,
        ),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            StoreErrorKind::Unavailable,
            SNAPSHOT,
        ),
        (
            "BEGIN READ ONLY",
            StoreErrorKind::ReadOnly,
            "begin the transaction with READ WRITE",
        ),
    ] {
        let mut connection = begun(&app.url, begin).await;
        let error = InTransaction::join(&app.ring, &mut connection)
            .await
            .unwrap_err();
        assert_refused(&app.ring, &error, kind, text);
    }
    let mut connection = begun(&app.url, "BEGIN ISOLATION LEVEL READ UNCOMMITTED").await;
    InTransaction::join(&app.ring, &mut connection)
        .await
        .unwrap();
}

/// Another database, with tables of the same names in the same schema, and a copy of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_transaction_of_another_database_is_refused() {
    let app = Application::new().await;
    let other = database().await;
    let mut connection = begun(&other, "BEGIN").await;
    let error = InTransaction::join(&app.ring, &mut connection)
        .await
        .unwrap_err();
    assert_refused(&app.ring, &error, StoreErrorKind::Unavailable, ELSEWHERE);

    let server = tokio::task::block_in_place(|| {
        tower_api_key_test_support::pg_server::PgServer::start("off")
    });
    let other = server.database().await;
    let mut connection = begun(&other, "BEGIN").await;
    let error = InTransaction::join(&app.ring, &mut connection)
        .await
        .unwrap_err();
    assert_refused(&app.ring, &error, StoreErrorKind::Unavailable, ELSEWHERE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_transaction_whose_role_does_not_see_every_row_is_refused() {
    let app = Application::new().await;
    let role = format!("pooled_{}", app.url.rsplit_once('/').unwrap().1);
    let policy = format!(
        "CREATE ROLE {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO {role};
        ALTER TABLE tower_api_keys ENABLE ROW LEVEL SECURITY"
    );
    execute(&app.url, &policy).await.unwrap();
    let mut connection = begun(&app.url, &format!("BEGIN; SET LOCAL ROLE {role}")).await;
    let error = InTransaction::join(&app.ring, &mut connection)
        .await
        .unwrap_err();
    let text = "give the role BYPASSRLS, or disable row-level security on tower_api_keys: a policy \
                may hide rows from it";
    assert_refused(&app.ring, &error, StoreErrorKind::Unavailable, text);
    // In the middle, too.
    let mut connection = begun(&app.url, "BEGIN").await;
    let mut keys = InTransaction::join(&app.ring, &mut connection)
        .await
        .unwrap();
    let set = sqlx::raw_sql(AssertSqlSafe(format!("SET LOCAL ROLE {role}")));
    set.execute(keys.connection()).await.unwrap();
    let error = keys.issue(editor()).await.unwrap_err();
    assert_refused(&app.ring, &error, StoreErrorKind::Unavailable, text);
    drop(connection);
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    execute(&app.url, &drop).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_over_another_store_is_refused() {
    let app = Application::new().await;
    let memory = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let mut transaction = app.begun().await;
    let error = InTransaction::join(&memory, &mut transaction)
        .await
        .unwrap_err();
    let text = "build the ring over a PostgresStore: a transaction of Postgres holds no keys of \
                another store";
    assert_refused(&memory, &error, StoreErrorKind::Unavailable, text);

    // The same database opened twice is two stores, as everywhere.
    let apart = ring_over(patient().connect(&app.url).await.unwrap());
    // Its ring can join any transaction of the database, with its own pool.
    let mut keys = InTransaction::join(&apart, &mut transaction).await.unwrap();
    let bob = tower_api_key::Grant::new("bob");
    keys.issue(bob).await.unwrap();
    drop(keys.finish());
    for from in [memory, apart] {
        let temporary = issue(&from, "read").await.record().id();
        let mut keys = InTransaction::join(&app.ring, &mut transaction)
            .await
            .unwrap();
        let error = keys.promote(&from, temporary, editor()).await.unwrap_err();
        let text = "build both rings over clones of one PostgresStore: a transaction ends no key \
                    of another store";
        assert_refused(&app.ring, &error, StoreErrorKind::Unavailable, text);
    }
}
