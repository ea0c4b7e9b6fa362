//! The failure of a store.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::{Error, ErrorKind};

/// The failure of a store.
///
/// Its message names only the kind of failure. The file, the line, the server's answer, and the remedy
/// are in its [`source`](StdError::source): print both. A clone shares its source.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// A record is not at the version that the change expects.
    Conflict,
    /// The id or the digest of a new record is taken.
    Duplicate,
    /// A subject would have more keys than the change allows.
    TooManyKeys,
    /// The store cannot be reached, or failed.
    Unavailable,
    /// Another process holds a lock that the store needs, for longer than it waits.
    Busy,
    /// The store cannot be written to.
    ReadOnly,
    /// The store's schema is missing, or of another version than this crate reads.
    Schema,
    /// The content of the store is damaged.
    Corrupt,
    /// As many calls wait for the store as may. The store itself may be in order.
    Overloaded,
    /// The store does not do this: it removes no records, or keeps no last uses.
    Unsupported,
}

impl StoreError {
    /// The store cannot be reached, or failed, because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Unavailable, source)
    }

    /// An error of this kind, because of `source`.
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Some(Arc::from(source.into())),
        }
    }

    /// The kind of the failure, to match on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl From<StoreErrorKind> for StoreError {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::Conflict => ErrorKind::Conflict,
            StoreErrorKind::Duplicate => ErrorKind::Duplicate,
            StoreErrorKind::Unavailable
            | StoreErrorKind::Busy
            | StoreErrorKind::ReadOnly
            | StoreErrorKind::Schema
            | StoreErrorKind::Corrupt
            | StoreErrorKind::Overloaded
            | StoreErrorKind::Unsupported
            // The ring knows its limit. A store that says so of a change without one has failed.
            | StoreErrorKind::TooManyKeys => ErrorKind::Store,
        };
        Self::with_source(kind, error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Conflict => "the records are not as the change expects them",
            StoreErrorKind::Duplicate => "the id or the digest is taken",
            StoreErrorKind::TooManyKeys => "the subject has too many keys for the change",
            StoreErrorKind::Unavailable => "the store is unavailable",
            StoreErrorKind::Busy => "another process has locked the store",
            StoreErrorKind::ReadOnly => "the store cannot be written to",
            StoreErrorKind::Schema => "the schema of the store is not the expected one",
            StoreErrorKind::Corrupt => "the store is damaged",
            StoreErrorKind::Overloaded => "too many calls are waiting for the store",
            StoreErrorKind::Unsupported => "the store does not support this",
        })
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
