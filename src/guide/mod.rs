//! Guides: which method to call when, with examples that run. There is no code to use here.
//!
//! - [`moving`]: keys that another system minted keep working.
//! - [`reports`]: keys that end soon, that are unused, or that have a scope.
//! - [`rotating`]: rotating keys without an outage.
//! - [`privilege`]: when a user's privilege changes.
//!
//! The package `tower-api-key-cli` has a guide to managing keys from a shell, the package
//! `tower-api-key-sqlite` one to backup and restore,
//! and `tower-api-key-postgres` one to changes of keys in a transaction of the application.

pub mod moving;
pub mod privilege;
pub mod reports;
pub mod rotating;
