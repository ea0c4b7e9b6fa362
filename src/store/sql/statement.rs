//! A statement with its values.

use super::value::Value;

/// A statement, and the values of its placeholders in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// The text.
    pub sql: String,
    /// The values: the first belongs to the placeholder of number 1.
    pub values: Vec<Value>,
}

impl Statement {
    /// A statement with these values, in the order of its placeholders.
    pub const fn new(sql: String, values: Vec<Value>) -> Self {
        Self { sql, values }
    }
}
