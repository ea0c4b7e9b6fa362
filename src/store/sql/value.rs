//! The values of statements.

/// A value of a [`Statement`](super::Statement).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// A text that may be none.
    Raw(Vec<u8>),
    /// Bytes, for a column of bytes.
    Bytes(Vec<u8>),
}
