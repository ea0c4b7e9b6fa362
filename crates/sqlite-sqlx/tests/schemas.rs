//! Databases whose tables are not those of this version, or not ours.

use sqlx::sqlite::SqlitePool;
use tower_api_key::store::{StoreErrorKind, StoreErrorKind::Schema};
use tower_api_key::{Grant, VerifyErrorKind};
use tower_api_key_sqlite_schema::schema;
use tower_api_key_sqlite_sqlx::{InTransaction, SqlxSqliteStore, sqlx};

use super::{MIGRATIONS, advice, over, pool, ring, run, store_error, verdict};
use tower_api_key_test_support::folder::Folder;

/// What making and opening the store say.
async fn refusals(pool: &SqlitePool) -> (Option<String>, String) {
    let made = SqlxSqliteStore::migrate(pool).await.err().map(|error| {
        assert_eq!(error.kind(), Schema);
        advice(&error)
    });
    let opened = SqlxSqliteStore::from_pool(pool.clone()).await.unwrap_err();
    assert_eq!(opened.kind(), Schema);
    (made, advice(&opened))
}

#[tokio::test]
async fn the_tables_are_made_on_request_alone() {
    let folder = Folder::new();
    let pool = pool(&folder.keys()).await;
    let error = SqlxSqliteStore::from_pool(pool.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Schema);
    assert_eq!(
        advice(&error),
        "the database has no tables of keys yet; call SqlxSqliteStore::migrate first"
    );
    let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema");
    let tables: i64 = tables.fetch_one(&pool).await.unwrap();
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn a_database_that_another_application_has_marked_is_left_as_it_is() {
    for mark in ["application_id = 7", "user_version = 3"] {
        let folder = Folder::new();
        let pool = pool(&folder.keys()).await;
        run(
            &pool,
            format!("PRAGMA {mark}; CREATE TABLE users (name TEXT)"),
        )
        .await;
        let foreign = "another application has marked this database as its own (application_id or \
                       user_version); keep the keys in a file of their own";
        assert_eq!(
            refusals(&pool).await,
            (Some(foreign.to_owned()), foreign.to_owned())
        );
        let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema");
        let tables: i64 = tables.fetch_one(&pool).await.unwrap();
        assert_eq!(tables, 1);
    }
}

#[tokio::test]
async fn names_of_an_application_are_not_taken_for_ours() {
    let folder = Folder::new();
    let pool = pool(&folder.keys()).await;
    run(&pool, "CREATE TABLE Api_Keys (id TEXT)").await;
    let (made, _) = refusals(&pool).await;
    let made = made.unwrap();
    assert!(made.contains("of the name \"Api_Keys\""), "{made}");
    assert!(
        made.ends_with("rename it, or keep the keys in a file of their own"),
        "{made}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused_also_while_the_store_is_open() {
    let folder = Folder::new();
    let pool = pool(&folder.keys()).await;
    let ring = ring(over(&pool).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
    run(
        &pool,
        "BEGIN IMMEDIATE; PRAGMA user_version = 1000; CREATE TABLE api_key_more (id TEXT); COMMIT",
    )
    .await;
    let (made, opened) = refusals(&pool).await;
    let newer = format!(
        "its schema has version 1000, and this crate reads versions up to {}; upgrade tower-api-key",
        schema::VERSION
    );
    assert_eq!((made.as_deref(), &*opened), (Some(&*newer), &*newer));
    assert_eq!(
        verdict(&ring, &issued).await,
        Err(VerifyErrorKind::StoreUnavailable)
    );
    let error = ring.issue(Grant::new("alice")).await.unwrap_err();
    assert_eq!(store_error(&error).kind(), Schema);
}

/// An empty table in the place of the keys is no store in which every key is unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_another_table_in_the_place_of_the_keys_is_no_answer() {
    for (change, cause) in [
        (
            "ALTER TABLE api_keys RENAME TO old_keys; CREATE TABLE api_keys AS SELECT * FROM old_keys WHERE 0",
            "its table of keys is missing",
        ),
        (
            "DROP TRIGGER api_keys_gain_no_scope",
            "its trigger api_keys_gain_no_scope is missing",
        ),
        ("DROP TABLE api_key_history", "its history is missing"),
    ] {
        let folder = Folder::new();
        let pool = pool(&folder.keys()).await;
        let ring = ring(over(&pool).await);
        let issued = ring.issue(Grant::new("alice")).await.unwrap();
        assert_eq!(verdict(&ring, &issued).await, Ok(()));
        run(&pool, change).await;
        assert_eq!(
            verdict(&ring, &issued).await,
            Err(VerifyErrorKind::StoreUnavailable)
        );
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let error = InTransaction::join(&ring, &mut transaction)
            .await
            .unwrap_err();
        assert_eq!(store_error(&error).kind(), Schema);
        drop(transaction);
        let error = ring.get(issued.id()).await.unwrap_err();
        assert_eq!(store_error(&error).kind(), StoreErrorKind::Schema);
        let (made, opened) = refusals(&pool).await;
        assert!(made.is_none(), "{made:?}");
        assert!(opened.starts_with(cause), "{opened}");
    }
}

/// As an earlier version left it.
#[tokio::test]
async fn an_older_schema_is_migrated_on_request_alone() {
    let folder = Folder::new();
    let pool = pool(&folder.keys()).await;
    for migration in &schema::MIGRATIONS[..5] {
        run(&pool, *migration).await;
    }
    run(&pool, schema::mark(5)).await;
    let error = SqlxSqliteStore::from_pool(pool.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Schema);
    let older = format!(
        "its schema has version 5, and this crate reads {}; migrate the store first",
        schema::VERSION
    );
    assert_eq!(advice(&error), older);
    let missing = SqlxSqliteStore::migrate(&pool).await.unwrap();
    assert_eq!(missing, MIGRATIONS - 5);
    let ring = ring(SqlxSqliteStore::from_pool(pool).await.unwrap());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_services_that_start_at_once_one_migrates() {
    let folder = Folder::new();
    let (one, other) = (pool(&folder.keys()).await, pool(&folder.keys()).await);
    let (one, other) = tokio::join!(
        SqlxSqliteStore::migrate(&one),
        SqlxSqliteStore::migrate(&other)
    );
    let mut taken = [one.unwrap(), other.unwrap()];
    taken.sort_unstable();
    assert_eq!(taken, [0, MIGRATIONS]);
}
