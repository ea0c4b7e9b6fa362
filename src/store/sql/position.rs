//! A place in a list, as the columns have it.

/// A place in a list as the columns have it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The id, whatever the column holds.
    pub id: Vec<u8>,
    /// The time of issue, in seconds since the Unix epoch.
    pub issued_at: i64,
}

impl Position {
    /// The place of a key with this id, issued at this time in seconds since the Unix epoch.
    pub const fn new(id: Vec<u8>, issued_at: i64) -> Self {
        Self { id, issued_at }
    }
}
