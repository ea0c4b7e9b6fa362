//! Keys in a file of SQLite.

mod checks;
#[cfg(target_os = "linux")]
mod full;
mod locks;
mod opening;
mod purging;
mod quickstart;
mod revoking;
mod sharing;
mod triggers;

use std::error::Error;

use tower_api_key::store::{SqliteStore, StoreError};
use tower_api_key::testing::contract;

use crate::folder::Folder;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_a_file_keeps_the_contract() {
    let folder = Folder::new();
    contract(async || SqliteStore::open(folder.fresh()).unwrap())
        .await
        .unwrap();
}

/// What the source of an error says after the name of the file.
#[track_caller]
fn advice(error: &StoreError, file: &std::path::Path) -> String {
    let text = error.source().expect("a source").to_string();
    let start = format!("{}: ", file.display());
    assert!(!text.contains('\n'), "{text:?}");
    text.strip_prefix(&start)
        .unwrap_or_else(|| panic!("{text:?} does not start with {start:?}"))
        .to_owned()
}
