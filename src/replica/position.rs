//! Where a reader is in a history.

use std::fmt;
use std::sync::Arc;

/// Where a reader is in the history of a [`Feed`](super::Feed), and in which history, as a text of the feed's
/// own. No other code reads it, and two of them have no order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position(Arc<str>);

impl Position {
    /// A position as its feed writes it.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text that the feed wrote.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
