//! Pools whose settings the store accepts, and those that it refuses.

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tower_api_key::Grant;
use tower_api_key::store::StoreErrorKind;
use tower_api_key_contract::contract;
use tower_api_key_sqlite_sqlx::{SqlxSqliteOptions, SqlxSqliteStore, sqlx};

use super::{MIGRATIONS, advice, over, pool_with, ring, run, settings, store_error, verdict};
use tower_api_key_test_support::folder::Folder;

type Change = fn(SqliteConnectOptions) -> SqliteConnectOptions;

#[tokio::test]
async fn r32_settings_by_which_a_revocation_could_be_undone_are_refused_with_the_remedy() {
    let refused: [(Change, &str); 8] = [
        (
            |it| it.synchronous(SqliteSynchronous::Normal),
            "set synchronous of the pool to FULL",
        ),
        (
            |it| it.synchronous(SqliteSynchronous::Off),
            "set synchronous of the pool to FULL",
        ),
        (
            |it| it.journal_mode(SqliteJournalMode::Delete),
            "set the journal mode of the pool to WAL, or its synchronous to EXTRA",
        ),
        (
            |it| it.journal_mode(SqliteJournalMode::Memory),
            "set the journal mode of the pool to WAL",
        ),
        (
            |it| it.journal_mode(SqliteJournalMode::Off),
            "set the journal mode of the pool to WAL",
        ),
        (
            |it| it.pragma("read_uncommitted", "1"),
            "set PRAGMA read_uncommitted = OFF",
        ),
        (
            |it| it.pragma("ignore_check_constraints", "1"),
            "set PRAGMA ignore_check_constraints = OFF",
        ),
        (
            |it| it.pragma("encoding", "'UTF-16'"),
            "keep the keys in one in UTF-8",
        ),
    ];
    for (number, (change, remedy)) in refused.into_iter().enumerate() {
        let folder = Folder::new();
        let pool = pool_with(change(settings(&folder.keys())), 1).await;
        let error = SqlxSqliteStore::migrate(&pool).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(
            advice(&error).ends_with(remedy),
            "{number}: {}",
            advice(&error)
        );
        if remedy.ends_with("UTF-8") {
            continue;
        }
        // And for tables that are there already.
        pool.close().await;
        let in_order = pool_with(settings(&folder.keys()), 1).await;
        over(&in_order).await;
        in_order.close().await;
        let pool = pool_with(change(settings(&folder.keys())), 1).await;
        let error = SqlxSqliteStore::from_pool(pool).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(
            advice(&error).ends_with(remedy),
            "{number}: {}",
            advice(&error)
        );
    }
}

/// A hook of the pool, or a statement, sets a connection after the store was opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_settings_that_change_later_are_refused_too() {
    let folder = Folder::new();
    let pool = pool_with(settings(&folder.keys()), 1).await;
    let ring = ring(over(&pool).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    run(&pool, "PRAGMA synchronous = NORMAL").await;
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
    ring.issue(Grant::new("alice")).await.unwrap_err();
    run(
        &pool,
        "PRAGMA synchronous = FULL; PRAGMA read_uncommitted = ON",
    )
    .await;
    verdict(&ring, &issued).await.unwrap_err();
    ring.get(issued.id()).await.unwrap_err();
    run(&pool, "PRAGMA read_uncommitted = OFF").await;
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
}

#[tokio::test]
async fn a_pool_may_lose_commits_at_power_failure_if_the_options_say_so() {
    let folder = Folder::new();
    let settings = settings(&folder.keys()).synchronous(SqliteSynchronous::Normal);
    let pool = pool_with(settings, 2).await;
    let options = SqlxSqliteOptions::new().danger_lose_commits_at_power_failure();
    assert_eq!(options.migrate(&pool).await.unwrap(), MIGRATIONS);
    let ring = ring(options.with_pool(pool).await.unwrap());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
}

/// Every setting that an application may have otherwise than SQLite's defaults, and no log.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_contract_is_kept_over_a_pool_with_other_settings() {
    let folder = Folder::new();
    contract(async || {
        let settings = settings(&folder.fresh())
            .journal_mode(SqliteJournalMode::Truncate)
            .synchronous(SqliteSynchronous::Extra)
            .foreign_keys(false)
            .statement_cache_capacity(0)
            .page_size(512)
            .pragma("recursive_triggers", "1")
            .pragma("reverse_unordered_selects", "1")
            .pragma("case_sensitive_like", "1")
            .pragma("trusted_schema", "0")
            .pragma("cell_size_check", "1");
        over(&pool_with(settings, 2).await).await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_pool_that_only_reads_is_refused() {
    let folder = Folder::new();
    over(&pool_with(settings(&folder.keys()), 1).await).await;
    let pool = pool_with(
        SqliteConnectOptions::new()
            .filename(folder.keys())
            .read_only(true),
        1,
    )
    .await;
    let ring = ring(SqlxSqliteStore::from_pool(pool.clone()).await.unwrap());
    let error = ring.issue(Grant::new("alice")).await.unwrap_err();
    assert_eq!(store_error(&error).kind(), StoreErrorKind::ReadOnly);
    let _ = sqlx::query("SELECT 1").execute(&pool).await.unwrap();
}
