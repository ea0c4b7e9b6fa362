//! Keys in a file of SQLite.

mod folder;
mod sharing;

use tower_api_key::store::SqliteStore;
use tower_api_key::testing::contract;

use folder::Folder;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_a_file_keeps_the_contract() {
    let folder = Folder::new();
    contract(async || SqliteStore::open(folder.fresh()).unwrap())
        .await
        .unwrap();
}
