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
pub(crate) mod head;
pub(crate) mod kept_values;
#[cfg(feature = "openapi")]
pub mod openapi;
#[cfg(feature = "axum")]
pub(crate) mod principal;
pub(crate) mod problem;
pub mod rejection;
pub(crate) mod same_body;
#[cfg(feature = "tracing")]
pub(crate) mod span;
