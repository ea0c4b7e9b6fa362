//! The requests that were answered otherwise.

use std::collections::BTreeMap;
use std::fmt;

use super::row::Row;
use crate::error::Error;

/// Requests of a [`Matrix`](super::Matrix) that were answered otherwise than its table says.
///
/// Its `Debug` is its `Display`, so that `unwrap` shows all of them. It contains no key.
pub struct MatrixError {
    problem: Option<String>,
    source: Option<Error>,
    faults: Vec<Fault>,
    requests: usize,
}

impl MatrixError {
    /// The matrix could not be tried.
    pub(super) fn untried(problem: String) -> Self {
        Self {
            problem: Some(problem),
            source: None,
            faults: Vec::new(),
            requests: 0,
        }
    }

    /// A ring refused an operation.
    pub(super) fn of_ring(problem: String, source: Error) -> Self {
        Self {
            source: Some(source),
            ..Self::untried(problem)
        }
    }

    pub(super) fn otherwise(faults: Vec<Fault>, requests: usize) -> Self {
        Self {
            problem: None,
            source: None,
            faults,
            requests,
        }
    }

    /// The requests that were answered otherwise, in the order of the routes. Empty if none was sent.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for MatrixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = &self.problem {
            f.write_str(problem)?;
            return match &self.source {
                Some(source) => write!(f, ": {source}"),
                None => Ok(()),
            };
        }
        write!(
            f,
            "{} of {} requests were answered otherwise than the table says",
            self.faults.len(),
            self.requests
        )?;
        // One line for each row of a route: a mistake shows in many requests.
        let mut rows: BTreeMap<(usize, Row), Vec<&Fault>> = BTreeMap::new();
        for fault in &self.faults {
            rows.entry((fault.place, fault.row))
                .or_default()
                .push(fault);
        }
        let mut last = None;
        for ((place, _), faults) in rows {
            let Some(fault) = faults.first() else {
                continue;
            };
            if last.replace(place) != Some(place) {
                write!(f, "\n{}", fault.route)?;
            }
            write!(f, "\n  {fault}")?;
            if faults.len() > 1 {
                write!(f, " (and {} more)", faults.len() - 1)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for MatrixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for MatrixError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_ref()?;
        std::error::Error::source(source)
    }
}

/// A request that was answered otherwise.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The place of the route in its table.
    pub(super) place: usize,
    pub(super) route: String,
    pub(super) row: Row,
    pub(super) detail: String,
    pub(super) expected: String,
    pub(super) answer: String,
}

impl Fault {
    /// The route, such as `GET /orders/{id}: orders:read`.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The kind of request.
    pub fn row(&self) -> Row {
        self.row
    }

    /// The answer: its status, and the kind of the rejection if there was one.
    pub fn answer(&self) -> &str {
        &self.answer
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.as_str())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        write!(f, ": expected {}, answered {}", self.expected, self.answer)
    }
}
