//! The columns of the table of keys.

use super::ColumnType;

/// A column of the table of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Its name, which needs no quotes.
    pub name: &'static str,
    /// The type of its values.
    pub column_type: ColumnType,
}
