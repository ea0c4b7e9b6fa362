//! How to write a store.

pub mod own_store;
