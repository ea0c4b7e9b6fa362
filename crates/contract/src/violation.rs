//! How a store broke its contract.

use std::error::Error as StdError;
use std::fmt;

use super::clause::Clause;

/// How a store broke its contract.
#[derive(Debug)]
pub struct Violation {
    clause: Clause,
    seen: String,
}

impl Violation {
    pub(super) fn new(clause: Clause, seen: impl Into<String>) -> Self {
        Self {
            clause,
            seen: seen.into(),
        }
    }

    /// The clause that was broken.
    pub fn clause(&self) -> Clause {
        self.clause
    }

    /// A description of the observation, for people to read.
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.clause, self.seen)
    }
}

impl StdError for Violation {}
