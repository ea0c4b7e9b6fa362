//! The types of columns.

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text in UTF-8.
    Text,
    /// An integer of 64 bits. Times are whole seconds since the Unix epoch.
    Integer,
    /// Bytes.
    Blob,
}
