//! Values on their way into columns.

/// A value on its way into a column: of a text or an integer `None` is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnValue<'a> {
    /// For a column of the type [`ColumnType::Text`](super::ColumnType::Text).
    Text(Option<&'a str>),
    /// For a column of the type [`ColumnType::Integer`](super::ColumnType::Integer).
    Integer(Option<i64>),
    /// For a column of the type [`ColumnType::Blob`](super::ColumnType::Blob).
    Blob(&'a [u8]),
}
