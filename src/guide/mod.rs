//! Guides: which method to call when, with examples that run. There is no code to use here.
//!
//! - [`adopting`]: a service that authenticates its own way.
//! - [`history`]: who changed which key, and who revoked that one.
//! - [`moving`]: keys that another system minted keep working.
//! - [`reports`]: keys that end soon, that are unused, or that have a scope.
//! - [`rotating`]: rotating keys without an outage.
//! - [`privilege`]: when a user's privilege changes.
//! - [`restricting`]: restricting a key to a network or a certificate.
//! - [`table`]: a service that has a table of tokens already.
//! - [`testing`]: testing a service that uses this crate.
//!
//! The other packages have guides too: `tower-api-key-cli` to managing keys from a shell,
//! `tower-api-key-sqlite` to backup and restore, `tower-api-key-postgres` to changes of keys in a
//! transaction of the application and to fleets that verify from memory, and `tower-api-key-contract` to a store of your own
//! (`guide::own_store`).

pub mod adopting;
pub mod history;
pub mod moving;
pub mod privilege;
pub mod reports;
pub mod restricting;
pub mod rotating;
pub mod table;
pub mod testing;
