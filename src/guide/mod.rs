//! Guides: which method to call when, with examples that run. There is no code to use here.
//!
//! - [`backup`]: copying a store, and putting a copy in its place.
//! - [`command_line`]: managing keys from a shell.
//! - [`moving`]: keys that another system minted keep working.
//! - [`reports`]: keys that end soon, that are unused, or that have a scope.
//! - [`rotating`]: rotating keys without an outage.
//! - [`privilege`]: when a user's privilege changes.
#![cfg_attr(
    feature = "postgres",
    doc = "- [`transactions`]: one pool and one transaction with Postgres."
)]

pub mod backup;
pub mod command_line;
pub mod moving;
pub mod privilege;
pub mod reports;
pub mod rotating;
#[cfg(feature = "postgres")]
pub mod transactions;
