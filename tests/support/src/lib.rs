//! What the tests of several packages share: rings, keys and an inner service, folders, programs, and a
//! server of Postgres.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    clippy::return_self_not_must_use,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

pub mod feed;
pub mod folder;
#[cfg(feature = "logs")]
pub mod logs;
pub mod pages;
#[cfg(feature = "postgres")]
pub mod pg_server;
#[cfg(feature = "postgres")]
pub mod pooler;
pub mod process;
#[cfg(feature = "postgres")]
pub mod proxy;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod support;
