//! A place in a list, as the columns have it.

/// A place in a list as the columns have it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The id, whatever the column holds.
    pub id: Vec<u8>,
    /// The time of issue, in seconds since the Unix epoch.
    pub issued_at: i64,
    /// The value of the column by which the table is [kept](super::Dialect::stored_by), if the list is in that order.
    pub stored: Option<Vec<u8>>,
}

impl Position {
    /// The place of a key with this id, issued at this time in seconds since the Unix epoch.
    pub const fn new(id: Vec<u8>, issued_at: i64) -> Self {
        Self {
            id,
            issued_at,
            stored: None,
        }
    }

    /// The same place in a list that is in the order of the table: the value of the column by which that is kept.
    #[must_use]
    pub fn stored_by(mut self, value: Vec<u8>) -> Self {
        self.stored = Some(value);
        self
    }
}
