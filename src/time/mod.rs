//! Moments, and the only way to learn the time.

mod clock;
mod http_date;
#[cfg(feature = "testing")]
mod manual_clock;
mod rfc3339;
mod system_clock;
mod timestamp;

pub use clock::Clock;
pub(crate) use http_date::http_date;
#[cfg(feature = "testing")]
pub use manual_clock::ManualClock;
pub use system_clock::SystemClock;
pub(crate) use system_clock::WallOffset;
pub use timestamp::Timestamp;
