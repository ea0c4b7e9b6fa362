//! The ways to read a page.

use super::filter::Filter;

/// How a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the index of lineages or subjects.
    Direct,
    /// By the index of a filter that few keys meet.
    By(Filter),
    /// All in order.
    InOrder,
    /// All in the order in which the database [keeps](super::Dialect::stored_by) them.
    Stored,
}
