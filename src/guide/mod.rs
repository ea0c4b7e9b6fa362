//! Guides: what to call when, with examples that run. There is no code to use here.
//!
//! - [`rotating`]: rotating keys without an outage.
//! - [`privilege`]: when a user's privilege changes.

pub mod privilege;
pub mod rotating;
