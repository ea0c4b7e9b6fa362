//! The errors of a file.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

/// A mistake in a file, and its line.
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

/// The source of a [`StoreError`](tower_api_key::store::StoreError): the file, the line, and the remedy.
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

/// The line of a byte, from 1 on.
pub(super) fn line_of(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.split(|&byte| byte == b'\n').count()
}

/// The lines of texts that are in the file one after the other, found in one pass over it.
pub(super) struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 1,
        }
    }

    /// The line of the next occurrence. `None` if it is written with escapes.
    pub(super) fn next_with(&mut self, wanted: &str) -> Option<usize> {
        let (before, after) = self.rest.split_at_checked(self.rest.find(wanted)?)?;
        self.line += line_of(before.as_bytes(), before.len()) - 1;
        // Continue after it, so that the same text is found once more.
        self.rest = after.get(wanted.len()..)?;
        Some(self.line)
    }
}
