//! How far a drain goes.

use std::sync::Arc;
use std::time::Duration;

use crate::time::Clock;

/// How much is read of a refused body, and how long.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) wait: Duration,
    pub(super) clock: Arc<dyn Clock>,
}
