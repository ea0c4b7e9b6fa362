//! Moments, and the only way to learn the time.

mod clock;
mod rfc3339;
mod timestamp;

#[cfg(feature = "testing")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use timestamp::Timestamp;
