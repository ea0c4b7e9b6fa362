//! Those who hear what happens.

pub(crate) mod event;
#[cfg(feature = "tracing")]
pub(crate) mod trace;
