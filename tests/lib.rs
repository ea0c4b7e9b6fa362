//! The tests, benches and examples of `tower-api-key` that need more than the crate does.

/// The README's code compiles.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The code of the page about FastAPI compiles.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../docs/fastapi.md")]
struct FastApi;

/// The code of the page about traces and metrics compiles.
#[cfg(all(doctest, feature = "axum", feature = "metrics", feature = "tracing"))]
#[doc = include_str!("../docs/observability.md")]
struct Observability;
