//! Guides: what to call when, with examples that run. There is no code to use here.
//!
//! - [`backup`]: copying a store, and putting a copy in its place.
//! - [`command_line`]: managing keys from a shell.
//! - [`reports`]: what ends soon, what nobody uses, who has a scope.
//! - [`rotating`]: rotating keys without an outage.
//! - [`privilege`]: when a user's privilege changes.

pub mod backup;
pub mod command_line;
pub mod privilege;
pub mod reports;
pub mod rotating;
