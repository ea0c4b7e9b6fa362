//! Keys in a file of SQLite.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod backups;
mod checks;
mod embedded;
mod follower;
mod foreign;
#[cfg(target_os = "linux")]
mod full;
mod histories;
mod listing;
mod locks;
mod logs;
#[cfg(target_os = "linux")]
mod mounted;
mod moved;
#[cfg(unix)]
mod names;
mod notices;
mod opening;
mod purging;
mod revoking;
mod server;
mod sharing;
mod triggers;
mod usage;

use std::error::Error;
use std::time::Duration;

use tower_api_key::store::{Found, KeyStore, Lookup, StoreError};
use tower_api_key::{KeyDigest, Realm};
use tower_api_key_contract::{contract, feed_contract};
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;

/// Takes longer only if the wait has no end.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_a_file_keeps_the_contract() {
    let folder = Folder::new();
    contract(async || SqliteStore::open(folder.fresh()).unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_a_file_keeps_the_contract_of_a_feed() {
    let folder = Folder::new();
    feed_contract(async || SqliteStore::open(folder.fresh()).unwrap())
        .await
        .unwrap();
}

/// The result of a look-up, at once or later, because a read may be slow on a busy machine.
async fn found(store: &SqliteStore, realm: &Realm, digest: &KeyDigest) -> Found {
    match store.find(realm, digest) {
        Lookup::Ready(found) => found,
        Lookup::Pending(found) => tokio::time::timeout(PATIENCE, found).await.unwrap(),
    }
}

/// The text of an error's source after the name of the file.
#[track_caller]
fn advice(error: &StoreError, file: &std::path::Path) -> String {
    let text = error.source().expect("a source").to_string();
    let start = format!("{}: ", file.display());
    assert!(!text.contains('\n'), "{text:?}");
    text.strip_prefix(&start)
        .unwrap_or_else(|| panic!("{text:?} does not start with {start:?}"))
        .to_owned()
}
