//! Every test that uses the crate from outside, a file for each area.
//!
//! A test that holds a rule of the threat model carries the rule's number in its name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod examples;
#[cfg(feature = "axum")]
mod extractors;
mod hiding;
mod process;
mod quickstart;
mod rows;
mod support;
