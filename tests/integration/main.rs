//! Every test that uses the crate from outside, a file for each area.
//!
//! A test that holds a rule of the threat model carries the rule's number in its name.

mod canary;
mod compile_fail;
mod composition;
mod hiding;
mod keys;
mod ring;
mod scopes;
#[cfg(feature = "serde")]
mod serde;
mod support;
