//! Guides: what to call when, with examples that run. There is no code to use here.
//!
//! - [`command_line`]: managing keys from a shell.
//! - [`rotating`]: rotating keys without an outage.
//! - [`privilege`]: when a user's privilege changes.

pub mod command_line;
pub mod privilege;
pub mod rotating;
