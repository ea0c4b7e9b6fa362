//! A copy of a database's keys in memory, which requests read. Needs the feature `replica`.

mod feed;
mod position;
mod realms;
mod sums;

pub use feed::{Batch, Changes, Feed, Head};
pub use position::Position;
pub use realms::Realms;
pub use sums::{Sum, Sums};
