//! What can be wrong with a file.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

/// What is wrong, and in which line.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: Option<usize>,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            text: text.into(),
        }
    }
}

/// The source of a [`StoreError`](crate::store::StoreError): the file, the line, and what to do.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) problem: Problem,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.problem.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.problem.text)
    }
}

impl StdError for Failure {}

/// The line in which a byte stands, from 1 on.
pub(super) fn line_of(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.split(|&byte| byte == b'\n').count()
}
