//! What keys were used for, in a database.

use sqlx::{Connection as _, PgConnection};
use tower_api_key::store::{KeyStore, KeyUsage, ScopeUse, StoreError, StoreErrorKind};
use tower_api_key::{Facts, Grant, KeyId, KeyRing, Realm, Requirement};
use tower_api_key_postgres::{PostgresStore, sqlx};

use super::{UNDO_SUBJECTS, builder, connect};
use tower_api_key_test_support::pg_server::{database, execute};
use tower_api_key_test_support::support::START;

fn tracking(store: PostgresStore) -> KeyRing {
    let builder = builder().track_scope_use().track_networks();
    builder.build(store).unwrap()
}

async fn used(ring: &KeyRing, presented: &str, scope: &str) {
    let facts = Facts::none().client_address("203.0.113.9".parse().unwrap());
    let key = ring.verify_with(presented.as_bytes(), facts).await.unwrap();
    key.require(&Requirement::scope(scope).unwrap()).unwrap();
}

fn exercised(scope: &str) -> KeyUsage {
    KeyUsage::new().scope_use(ScopeUse::new(START, START, scope.parse().unwrap()))
}

async fn count(url: &str, table: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(count)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn two_processes_add_to_what_is_known_of_a_key() {
    let url = database().await;
    let (one, other) = (tracking(connect(&url).await), tracking(connect(&url).await));
    let issued = one
        .issue(Grant::new("alice").scopes("a b c"))
        .await
        .unwrap();
    let presented = issued.secret().expose();
    used(&one, presented, "c").await;
    used(&other, presented, "a").await;
    one.record_uses().await.unwrap();
    other.record_uses().await.unwrap();
    let usage = one.usages(&[issued.id()]).await.unwrap().remove(0);
    assert_eq!(usage.scopes().unwrap().scopes().as_str(), "a c");
    assert_eq!(usage.networks().unwrap().networks().len(), 1);
    // No row of a key has changed: nothing is in the history or in the feed.
    assert_eq!(count(&url, "tower_api_key_history").await, 1);
    assert_eq!(count(&url, "tower_api_key_usage").await, 1);

    execute(&url, "TRUNCATE tower_api_keys").await.unwrap();
    assert_eq!(count(&url, "tower_api_key_usage").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn services_that_record_the_same_keys_at_once_do_not_wait_for_one_another_for_ever() {
    let url = database().await;
    let ring = tracking(connect(&url).await);
    let realm: Realm = "orders".parse().unwrap();
    let mut ids: Vec<KeyId> = Vec::new();
    for _ in 0..200 {
        ids.push(
            ring.issue(Grant::new("alice").scopes("a"))
                .await
                .unwrap()
                .id(),
        );
    }
    let mut services = Vec::new();
    for number in 0..4 {
        let (store, realm, mut ids) = (connect(&url).await, realm.clone(), ids.clone());
        if number % 2 == 1 {
            ids.reverse();
        }
        services.push(tokio::spawn(async move {
            for round in 0..5 {
                let usage = exercised(&format!("s{number}-{round}"));
                let usages: Vec<_> = ids.iter().map(|&id| (id, usage.clone())).collect();
                store.record_usage(&realm, &usages).await.unwrap();
            }
        }));
    }
    for service in services {
        service.await.unwrap();
    }
    for usage in ring.usages(&ids).await.unwrap() {
        assert_eq!(usage.scopes().unwrap().scopes().len(), 20);
    }
}

#[tokio::test]
async fn a_schema_from_before_the_migration_keeps_no_usage() {
    let url = database().await;
    let ring = tracking(connect(&url).await);
    let issued = ring.issue(Grant::new("alice").scopes("a")).await.unwrap();
    execute(&url, UNDO_SUBJECTS).await.unwrap();
    execute(
        &url,
        "DROP FUNCTION tower_api_keys_usage_gone() CASCADE; DROP TABLE tower_api_key_usage;
         DELETE FROM tower_api_key_migrations WHERE version > 11",
    )
    .await
    .unwrap();
    used(&ring, issued.secret().expose(), "a").await;
    for error in [
        ring.record_uses().await.unwrap_err(),
        ring.usages(&[issued.id()]).await.unwrap_err(),
    ] {
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<StoreError>().unwrap();
        assert_eq!(source.kind(), StoreErrorKind::Unsupported, "{error}");
    }
}

/// A server has rights on the keys alone, from before the migration.
#[tokio::test]
async fn the_migration_grants_what_a_server_needs() {
    let url = tower_api_key_test_support::pg_server::empty_database().await;
    super::patient().migrate(&url).await.unwrap();
    execute(&url, UNDO_SUBJECTS).await.unwrap();
    let undo = "DROP FUNCTION tower_api_keys_usage_gone() CASCADE; DROP TABLE tower_api_key_usage;
         DELETE FROM tower_api_key_migrations WHERE version > 11;
         CREATE ROLE usage_server LOGIN; CREATE ROLE usage_reader LOGIN;
         GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO usage_server;
         GRANT SELECT ON tower_api_keys TO usage_reader;
         GRANT SELECT ON tower_api_key_migrations TO usage_server, usage_reader";
    execute(&url, undo).await.unwrap();
    super::patient().migrate(&url).await.unwrap();
    let as_role = |name: &str| url.replacen("postgres@", &format!("{name}@"), 1);
    let ring = tracking(connect(&as_role("usage_server")).await);
    let issued = ring.issue(Grant::new("alice").scopes("a")).await.unwrap();
    used(&ring, issued.secret().expose(), "a").await;
    ring.record_uses().await.unwrap();
    let reader = tracking(connect(&as_role("usage_reader")).await);
    let usage = reader.usages(&[issued.id()]).await.unwrap().remove(0);
    assert_eq!(usage.scopes().unwrap().scopes().as_str(), "a");
    // The server may remove a key without a right to remove its usage.
    execute(&as_role("usage_server"), "DELETE FROM tower_api_keys")
        .await
        .unwrap();
    assert_eq!(count(&url, "tower_api_key_usage").await, 0);
    let error = execute(&as_role("usage_server"), "DELETE FROM tower_api_key_usage").await;
    let error = error.unwrap_err().into_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("42501"));
}
