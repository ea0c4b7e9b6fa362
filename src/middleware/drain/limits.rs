//! The limits of a drain.

use std::sync::Arc;
use std::time::Duration;

use crate::time::Clock;

/// How much of a refused body is read, and for how long.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) wait: Duration,
    pub(super) clock: Arc<dyn Clock>,
}
