//! Observers and their events.

#[cfg(feature = "metrics")]
mod dropped;
pub(crate) mod event;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
pub(crate) mod observed;
pub(crate) mod observer;
pub(crate) mod observer_fn;
mod refused;
#[cfg(feature = "tracing")]
pub(crate) mod span_fields;
#[cfg(feature = "tracing")]
pub(crate) mod tracing_observer;
