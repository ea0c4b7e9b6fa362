//! Keys in SQLite, over pools of sqlx.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod beside;
mod cancelled;
mod concurrency;
mod files;
mod left_open;
mod listing;
mod notices;
mod revoking;
mod schemas;
mod settings;
mod transactions;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use tower_api_key::store::{KeyStore, StoreError};
use tower_api_key::{ErrorKind, InvalidCause, Issued, KeyRing, KeyRingBuilder, VerifyErrorKind};
use tower_api_key_contract::contract;
use tower_api_key_sqlite_sqlx::{SqlxSqliteStore, sqlx};

use tower_api_key_test_support::folder::Folder;

/// The number of files of the schema.
#[allow(clippy::cast_possible_truncation, reason = "they are few")]
const MIGRATIONS: u32 = tower_api_key_sqlite_schema::schema::MIGRATIONS.len() as u32;

type Verdict = Result<(), VerifyErrorKind>;

const REVOKED: Verdict = Err(VerifyErrorKind::Invalid(InvalidCause::Revoked));
const REPLACED: Verdict = Err(VerifyErrorKind::Invalid(InvalidCause::Replaced));
const UNKNOWN: Verdict = Err(VerifyErrorKind::Invalid(InvalidCause::Unknown));

/// The settings of a service that keeps its data in a file.
fn settings(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // On a loaded machine.
        .busy_timeout(Duration::from_mins(1))
}

async fn pool_with(settings: SqliteConnectOptions, most: u32) -> SqlitePool {
    let options = SqlitePoolOptions::new().max_connections(most);
    options.connect_with(settings).await.unwrap()
}

async fn pool(path: &Path) -> SqlitePool {
    pool_with(settings(path), 4).await
}

/// A store over a pool, with the tables in place.
async fn over(pool: &SqlitePool) -> SqlxSqliteStore {
    SqlxSqliteStore::migrate(pool).await.unwrap();
    SqlxSqliteStore::from_pool(pool.clone()).await.unwrap()
}

/// A store over a pool of its own.
async fn store(path: &Path) -> SqlxSqliteStore {
    over(&pool(path).await).await
}

/// A ring `acme` with the realm `orders`, whose look-ups may be slow on a loaded machine.
fn builder() -> KeyRingBuilder {
    KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(Duration::from_mins(1))
}

fn ring(store: impl KeyStore) -> KeyRing {
    builder().build(store).unwrap()
}

async fn verdict(ring: &KeyRing, issued: &Issued) -> Verdict {
    let verdict = ring.verify(issued.secret().expose().as_bytes()).await;
    verdict.map(drop).map_err(|error| error.kind())
}

/// The store's error in the error of an operation.
#[track_caller]
fn store_error(error: &tower_api_key::Error) -> &StoreError {
    assert_eq!(error.kind(), ErrorKind::Store);
    error.source().unwrap().downcast_ref().unwrap()
}

async fn run(pool: &SqlitePool, sql: impl Into<String>) {
    let run = sqlx::raw_sql(AssertSqlSafe(sql.into()));
    run.execute(pool).await.unwrap();
}

/// The text of an error's source, which is one line, after the name of the database.
#[track_caller]
fn advice(error: &StoreError) -> String {
    let text = error.source().expect("a source").to_string();
    assert!(!text.contains('\n'), "{text:?}");
    let (_, advice) = text.split_once(": ").expect("the name of the database");
    advice.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_over_a_pool_keeps_the_contract() {
    let folder = Folder::new();
    contract(async || store(&folder.fresh()).await)
        .await
        .unwrap();
}

/// As the tests of an application do, over a connection that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_memory_keeps_the_contract() {
    contract(async || {
        let options = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        over(&options.connect("sqlite::memory:").await.unwrap()).await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_debug_output_shows_nothing_of_the_pool() {
    let folder = Folder::new();
    let store = store(&folder.keys()).await;
    assert_eq!(format!("{store:?}"), "SqlxSqliteStore { .. }");
}
