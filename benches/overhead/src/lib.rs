//! What one request costs: the layer, a floor and a hand-written rival, over the same keys and requests.
//!
//! The bench prints tables of times, the program `count` runs under callgrind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a bench that cannot go on shall stop"
)]

mod by_hand;
mod candidate;
mod copied;
mod figures;
mod floor;
mod keys;
mod recorder;
mod request;
mod setup;
mod span;
mod subject;
mod turns;

pub use candidate::Candidate;
pub use figures::Figures;
pub use keys::{Draws, Keys, SCOPES, scopes, subject_name};
pub use request::{LEAST_HEADERS, MOST_HEADERS, Presented, X_API_KEY, request};
pub use setup::Setup;
pub use subject::{Inner, Plain, Subject, now, subject};
pub use turns::{Case, median, take_turns, turn};
