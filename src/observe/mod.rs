//! Observers and their events.

pub(crate) mod event;
pub(crate) mod observer;
mod refused;
#[cfg(feature = "tracing")]
pub(crate) mod trace;
