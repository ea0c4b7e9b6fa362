//! Every test that uses the crate from outside, one file for each area.
//!
//! A test that holds a rule of the threat model carries the rule's number in its name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod actors;
#[cfg(feature = "axum")]
mod adopt;
#[cfg(feature = "axum")]
mod adopt_registry;
mod ambiguity;
#[cfg(feature = "axum")]
mod authenticator;
mod authorization;
mod builders;
mod cache_guard;
mod callers;
mod canary;
mod caveats;
mod challenges;
mod circles;
mod claims;
mod clocks;
mod composition;
#[cfg(unix)]
mod crashes;
mod customers;
#[cfg(feature = "axum")]
mod deferring;
mod digests;
mod drain;
mod either;
mod equal_work;
mod events;
mod examples;
mod expiring;
#[cfg(feature = "axum")]
mod extractors;
mod faults;
#[cfg(all(feature = "replica", target_os = "linux"))]
mod fleet;
mod floods;
mod grpc;
mod guards;
mod hang_ups;
mod head;
mod hiding;
mod index;
mod indistinguishable;
mod keys;
mod leaks;
mod lifecycle;
mod lifetime;
mod lineages;
mod locks;
mod methods;
mod misplaced;
mod model;
#[cfg(all(
    feature = "axum",
    feature = "metrics",
    feature = "replica",
    feature = "tracing"
))]
mod monitoring;
mod moving;
mod nginx;
#[cfg(feature = "axum")]
mod one_transaction;
#[cfg(all(feature = "axum", feature = "openapi"))]
mod openapi;
mod outcome;
mod owners;
mod promises;
mod quickstart;
mod raw;
mod readiness;
mod readme;
mod records;
mod rejections;
#[cfg(feature = "replica")]
mod replica;
mod reports;
mod requiring;
mod reuse;
mod ring;
mod rooms;
mod routes;
mod rows;
mod scanners;
mod schemes;
mod scopes;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "axum")]
mod signup;
mod sources;
#[cfg(all(
    target_os = "linux",
    feature = "axum",
    feature = "metrics",
    feature = "openapi",
    feature = "tracing"
))]
mod stacks;
mod stores;
#[cfg(feature = "axum")]
mod streams;
mod testing;
mod text_types;
mod usage;
mod uses;
mod verifier;
mod watch;
#[cfg(feature = "axum")]
mod ways_in;
mod wire;
mod within;

#[cfg(feature = "replica")]
use tower_api_key_test_support::feed;
use tower_api_key_test_support::pg_server;
use tower_api_key_test_support::{folder, process, support};
#[cfg(all(feature = "replica", target_os = "linux"))]
use tower_api_key_test_support::{pooler, proxy};
