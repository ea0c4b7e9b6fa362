//! Every test that uses the crate from outside, a file for each area.
//!
//! A test that holds a rule of the threat model carries the rule's number in its name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod ambiguity;
mod hiding;
mod leaks;
mod methods;
mod outcome;
mod raw;
mod schemes;
mod sources;
mod cache_guard;
mod challenges;
mod clocks;
mod faults;
mod grpc;
mod guards;
mod indistinguishable;
mod readiness;
mod rejections;
mod stores;
mod canary;
mod compile_fail;
mod composition;
mod digests;
mod keys;
mod ring;
mod scopes;
#[cfg(feature = "serde")]
mod serde;
mod examples;
#[cfg(feature = "axum")]
mod extractors;
mod process;
mod quickstart;
mod rows;
mod support;
mod wire;
