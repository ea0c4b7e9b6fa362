//! The only module that names `http` and tower.

pub mod auth;
#[cfg(feature = "axum")]
pub(crate) mod axum;
pub(crate) mod body;
pub(crate) mod caching;
pub(crate) mod client;
pub(crate) mod credential;
pub mod drain;
pub mod guard;
#[cfg(feature = "openapi")]
pub mod openapi;
#[cfg(feature = "axum")]
pub(crate) mod principal;
pub(crate) mod problem;
pub mod rejection;
#[cfg(feature = "tracing")]
pub(crate) mod span;
