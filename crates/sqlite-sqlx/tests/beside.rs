//! One file for this store, the store over rusqlite, and the tables of an application.

use sqlx::migrate::Migrator;
use tower_api_key::store::{HistoryQuery, ListQuery};
use tower_api_key::{Grant, RevocationReason};
use tower_api_key_sqlite::SqliteStore;
use tower_api_key_sqlite_sqlx::{SqlxSqliteStore, sqlx};

use super::{MIGRATIONS, REVOKED, pool, ring, run, store, verdict};
use tower_api_key_test_support::folder::Folder;

const REASON: RevocationReason = RevocationReason::KeyCompromise;

/// Two programs, of which one links sqlx and the other rusqlite. Both orders of who makes the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_open_the_file_of_the_other() {
    for is_made_here in [true, false] {
        let folder = Folder::new();
        let path = folder.keys();
        if !is_made_here {
            drop(SqliteStore::open(&path).unwrap());
        }
        let service = ring(store(&path).await);
        let program = ring(SqliteStore::open_existing(&path).unwrap());
        for (one, other) in [(&service, &program), (&program, &service)] {
            for _ in 0..10 {
                let grant = Grant::new("alice \u{1f511}").scopes(["read", "write"]);
                let issued = one.acting_as("ops").unwrap().issue(grant).await;
                let issued = issued.unwrap();
                assert_eq!(verdict(other, &issued).await, Ok(()));
                let record = other.get(issued.id()).await.unwrap().unwrap();
                assert_eq!(record, *issued.record());
                other.revoke(issued.id(), REASON).await.unwrap();
                assert_eq!(verdict(one, &issued).await, REVOKED);
            }
        }
        let lists = [&service, &program].map(|ring| async {
            let page = ring.list(&ListQuery::new()).await.unwrap();
            let history = ring.history(&HistoryQuery::new()).await.unwrap();
            let history: Vec<String> = history.iter().map(|entry| format!("{entry:?}")).collect();
            (page.records().to_vec(), history)
        });
        let [here, there] = lists;
        let (here, there) = (here.await, there.await);
        assert_eq!(here, there);
        assert_eq!((here.0.len(), here.1.len()), (20, 40));
        assert!(
            here.1
                .iter()
                .all(|entry| entry.contains("is_by_hand: false"))
        );
    }
}

/// The migrations of an application by sqlx, before ours, after them, and while the store is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_migrations_of_an_application_stand_next_to_ours() {
    let (folder, migrations) = (Folder::new(), Folder::new());
    let pool = pool(&folder.keys()).await;
    let migrate = async |name: &str, sql: &str| {
        std::fs::write(migrations.path().join(name), sql).unwrap();
        let migrator = Migrator::new(migrations.path()).await.unwrap();
        migrator.run(&pool).await.unwrap();
    };
    migrate("1_users.sql", "CREATE TABLE users (name TEXT PRIMARY KEY)").await;
    assert_eq!(SqlxSqliteStore::migrate(&pool).await.unwrap(), MIGRATIONS);
    assert_eq!(SqlxSqliteStore::migrate(&pool).await.unwrap(), 0);
    let ring = ring(SqlxSqliteStore::from_pool(pool.clone()).await.unwrap());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));

    let role =
        "ALTER TABLE users ADD COLUMN role TEXT; INSERT INTO users VALUES ('alice', 'admin')";
    migrate("2_roles.sql", role).await;
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
    ring.revoke(issued.id(), REASON).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, REVOKED);
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(users, 1);
    // And the program that links rusqlite opens such a file.
    let program = super::ring(SqliteStore::open_existing(folder.keys()).unwrap());
    assert_eq!(verdict(&program, &issued).await, REVOKED);
}

/// A table of the same name in the schema `temp` would else come first.
#[tokio::test]
async fn r22_a_temporary_table_takes_the_place_of_none() {
    let folder = Folder::new();
    let pool = super::pool_with(super::settings(&folder.keys()), 1).await;
    let ring = ring(super::over(&pool).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    run(
        &pool,
        "CREATE TEMP TABLE api_keys AS SELECT * FROM main.api_keys",
    )
    .await;
    run(
        &pool,
        "CREATE TEMP TABLE api_key_acting AS SELECT * FROM main.api_key_acting",
    )
    .await;
    run(
        &pool,
        "CREATE TEMP TABLE api_key_history AS SELECT * FROM main.api_key_history",
    )
    .await;
    ring.revoke(issued.id(), REASON).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, REVOKED);
    assert_eq!(
        ring.history(&HistoryQuery::new())
            .await
            .unwrap()
            .iter()
            .count(),
        2
    );
    let live: i64 =
        sqlx::query_scalar("SELECT count(*) FROM main.api_keys WHERE revoked_at IS NULL")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(live, 0);
}
