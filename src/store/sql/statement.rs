//! A statement with its values.

use super::value::Value;

/// A statement, and the values of its placeholders in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub sql: String,
    /// The values: the first belongs to the placeholder of number 1.
    pub values: Vec<Value>,
}
