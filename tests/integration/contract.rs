//! The suite for stores: what keeps the contract passes, and each way to break it is named.

use std::sync::Arc;

use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key::testing::contract;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_memory_keeps_the_contract() {
    contract(async || MemoryStore::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shared_store_keeps_the_contract() {
    contract(async || Arc::new(MemoryStore::new()) as Arc<dyn KeyStore>)
        .await
        .unwrap();
}
