//! One request of a matrix, and its expected answer.

use http::{HeaderMap, Method, Uri};

use super::row::Row;
use crate::verdict::RejectionKind;

/// A request, and the expected answer.
pub(super) struct Case {
    /// The place of its route in the table.
    pub(super) route: usize,
    pub(super) row: Row,
    /// What distinguishes it from others of its row.
    pub(super) detail: String,
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) expected: Expected,
}

/// The expected answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The handler answers.
    Passes,
    Refused(RejectionKind),
    /// The refusal, or the answer of a public route that reads no keys.
    RefusedOrPasses(RejectionKind),
    /// Any answer but a success.
    NoSuccess,
}
