//! The storage port, and the store in memory.
//!
//! A store holds records and applies changes. It knows no rule of the lifecycle. The contract is on
//! [`KeyStore`].

mod expiry;
mod history;
mod index;
mod key_store;
mod listener;
mod listing;
mod lookup;
mod memory;
mod shared;
#[cfg(feature = "sql")]
pub mod sql;
mod store_id;
mod table;

pub use expiry::{ExpiryClaims, ExpiryLadder, ExpiryNotice};
pub use history::{HistoryEntry, HistoryKind, HistoryPage, HistoryPlace, HistoryQuery};
pub(crate) use index::Proof;
pub use index::{Asked, Freshness, Index};
pub use key_store::KeyStore;
pub use listener::ChangeListener;
pub use listing::{Cursor, ListQuery, Page, Unreadable};
pub use lookup::{BoxFuture, Found, Lookup};
pub use memory::MemoryStore;
pub use store_id::StoreId;
pub use table::{KeyTable, TableAnswer, TableKey};

pub use crate::error::store::{StoreError, StoreErrorKind};
pub use crate::lifecycle::{Change, Ended, Expected, KeyLimit, Revoked, Target, Write};
pub use crate::record::key_usage::{KeyUsage, NetworkUse, ScopeUse, UsedNetwork};
pub use crate::support::caught::caught;

/// How many realms a store names.
pub const MOST_REALMS: usize = 100;
