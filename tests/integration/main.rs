//! Every test that uses the crate from outside, one file for each area.
//!
//! A test that holds a rule of the threat model carries the rule's number in its name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod ambiguity;
mod cache_guard;
mod canary;
mod caveats;
mod challenges;
mod claims;
mod clocks;
#[cfg(feature = "cli")]
mod command_line;
mod composition;
mod contract;
#[cfg(all(unix, any(feature = "sqlite", feature = "postgres")))]
mod crashes;
mod customers;
mod digests;
mod drain;
mod equal_work;
mod events;
mod examples;
#[cfg(feature = "axum")]
mod extractors;
mod faults;
#[cfg(feature = "file")]
mod file_store;
mod floods;
mod folder;
mod grpc;
mod guards;
#[cfg(feature = "postgres")]
mod hang_ups;
mod hiding;
mod indistinguishable;
mod keys;
mod leaks;
mod lifecycle;
mod lineages;
mod methods;
mod misplaced;
mod model;
mod moving;
mod nginx;
mod outcome;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod pages;
#[cfg(feature = "postgres")]
mod pg_server;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(not(feature = "postgres"))]
mod postgres_left_out;
mod process;
mod promises;
mod quickstart;
mod raw;
mod readiness;
mod readme;
mod records;
mod rejections;
mod requiring;
mod reuse;
mod ring;
mod rooms;
mod rows;
mod scanners;
mod schemes;
mod scopes;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "axum")]
mod signup;
mod sources;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stores;
#[cfg(feature = "axum")]
mod streams;
mod support;
mod text_types;
mod uses;
mod watch;
mod wire;
