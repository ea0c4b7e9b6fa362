//! Moments, and the only way to learn the time.

pub(crate) mod clock;
pub(crate) mod rfc3339;
