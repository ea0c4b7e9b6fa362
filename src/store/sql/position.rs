//! A place in a list, as the columns have it.

/// A place in a list as the columns have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The id, whatever the column holds.
    pub id: Vec<u8>,
    /// The time of issue, in seconds since the Unix epoch.
    pub issued_at: i64,
}
