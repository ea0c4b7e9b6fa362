//! Observers and their events.

pub(crate) mod event;
pub(crate) mod observed;
pub(crate) mod observer;
pub(crate) mod observer_fn;
mod refused;
#[cfg(feature = "tracing")]
pub(crate) mod span_fields;
#[cfg(feature = "tracing")]
pub(crate) mod trace;
