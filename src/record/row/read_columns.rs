//! Columns that a driver has read.

use crate::error::store::StoreError;

/// The columns of a row that a driver has read, by their place in [`Row::COLUMNS`](super::Row::COLUMNS). NULL is `None`.
pub trait ReadColumns<'a> {
    /// The error of the driver, and of a row that is no record.
    type Error: From<StoreError>;

    /// The text in this column.
    ///
    /// # Errors
    ///
    /// If the column holds something else.
    fn text(&self, place: usize) -> Result<Option<&'a str>, Self::Error>;

    /// The integer in this column.
    ///
    /// # Errors
    ///
    /// If the column holds something else.
    fn integer(&self, place: usize) -> Result<Option<i64>, Self::Error>;

    /// The bytes in this column.
    ///
    /// # Errors
    ///
    /// If the column holds something else.
    fn blob(&self, place: usize) -> Result<Option<&'a [u8]>, Self::Error>;
}
