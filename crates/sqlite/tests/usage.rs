//! What keys were used for, in a file.

use std::path::Path;

use rusqlite::Connection;
use tower_api_key::{Facts, Grant, KeyRing, Requirement};
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;

fn ring(path: &Path) -> KeyRing {
    let store = SqliteStore::open(path).unwrap();
    let builder = KeyRing::builder("acme").track_scope_use().track_networks();
    builder.build(store).unwrap()
}

async fn used(ring: &KeyRing, presented: &str, scope: &str) {
    let facts = Facts::none().client_address("203.0.113.9".parse().unwrap());
    let key = ring.verify_with(presented.as_bytes(), facts).await.unwrap();
    key.require(&Requirement::scope(scope).unwrap()).unwrap();
    ring.record_uses().await.unwrap();
}

#[tokio::test]
async fn two_processes_add_to_what_is_known_of_a_key() {
    let folder = Folder::new();
    let (one, other) = (ring(&folder.keys()), ring(&folder.keys()));
    let issued = one
        .issue(Grant::new("alice").scopes("a b c"))
        .await
        .unwrap();
    let hand = Connection::open(folder.keys()).unwrap();
    let count = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        hand.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    let before = (count("api_key_history"), count("api_key_changes"));
    used(&one, issued.secret().expose(), "c").await;
    used(&other, issued.secret().expose(), "a").await;
    let usage = one.usages(&[issued.id()]).await.unwrap().remove(0);
    assert_eq!(usage.scopes().unwrap().scopes().as_str(), "a c");
    assert_eq!(usage.networks().unwrap().networks().len(), 1);
    // No row of a key has changed, and nothing is in the history.
    assert_eq!((count("api_key_history"), count("api_key_changes")), before);
    assert_eq!(count("api_key_usage"), 1);
}

#[tokio::test]
async fn a_damaged_row_says_nothing_and_is_written_anew() {
    let folder = Folder::new();
    let ring = ring(&folder.keys());
    let issued = ring.issue(Grant::new("alice").scopes("a b")).await.unwrap();
    used(&ring, issued.secret().expose(), "a").await;
    let hand = Connection::open(folder.keys()).unwrap();
    hand.execute(
        "UPDATE api_key_usage SET scopes = 'b \"', networks = 'home'",
        [],
    )
    .unwrap();
    let usage = ring.usages(&[issued.id()]).await.unwrap().remove(0);
    assert_eq!((usage.scopes(), usage.networks()), (None, None));
    used(&ring, issued.secret().expose(), "b").await;
    let usage = ring.usages(&[issued.id()]).await.unwrap().remove(0);
    assert_eq!(usage.scopes().unwrap().scopes().as_str(), "b");
}
