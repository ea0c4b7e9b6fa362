//! The errors of rows that are no records, and of records that are no rows.

use std::error::Error as StdError;
use std::fmt;

use crate::error::store::{StoreError, StoreErrorKind};
use crate::key::KeyId;

/// Why a row cannot become a record, or a record a row.
#[derive(Debug)]
struct Unfit {
    column: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Identifies a row that is no record, so that it can be revoked.
#[derive(Debug)]
struct UnreadableRow {
    id: KeyId,
    error: StoreError,
}

pub(super) fn unfit(column: &'static str) -> StoreError {
    refused(StoreErrorKind::Corrupt, column)
}

/// A value that a column cannot hold. Nothing in the store is damaged.
pub(super) fn beyond(column: &'static str) -> StoreError {
    refused(StoreErrorKind::Unavailable, column)
}

fn refused(kind: StoreErrorKind, column: &'static str) -> StoreError {
    let source = Unfit {
        column,
        source: None,
    };
    StoreError::new(kind, source)
}

pub(super) fn unfit_because(
    column: &'static str,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> StoreError {
    let source = Unfit {
        column,
        source: Some(source.into()),
    };
    StoreError::new(StoreErrorKind::Corrupt, source)
}

/// The error of a row that is no record, which names the key if its id can be read: the key can be revoked
/// by it.
pub fn unreadable(id: Option<KeyId>, error: StoreError) -> StoreError {
    match id {
        Some(id) => StoreError::new(error.kind(), UnreadableRow { id, error }),
        None => error,
    }
}

impl fmt::Display for UnreadableRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the record of the key {} cannot be read; revoke the key, or restore the record",
            self.id
        )
    }
}

impl StdError for UnreadableRow {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the column {} cannot hold or be this value", self.column)
    }
}

impl StdError for Unfit {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
