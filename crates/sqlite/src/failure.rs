//! The errors of a file, and their remedies.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ErrorCode;
use tower_api_key::store::{StoreError, StoreErrorKind};

/// The file that errors name.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    pub(super) busy_timeout: Duration,
}

/// The source of a [`StoreError`]: the file, and the remedy.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(super) fn new(text: String) -> Self {
        Self { text, source: None }
    }
}

impl Origin {
    /// An error that SQLite does not report.
    pub(super) fn error(&self, kind: StoreErrorKind, advice: &str) -> StoreError {
        self.failure(kind, advice, None)
    }

    pub(super) fn io(&self, what: &str, error: std::io::Error) -> StoreError {
        let text = format!("{what} {}: {error}", self.path.display());
        let source = Some(error.into());
        StoreError::new(StoreErrorKind::Unavailable, Failure { text, source })
    }

    /// The thread of a connection has ended, or its job panicked.
    pub(super) fn gave_up(&self) -> StoreError {
        self.error(
            StoreErrorKind::Unavailable,
            "the thread that did this stopped; try again",
        )
    }

    /// An error of SQLite.
    pub(super) fn sqlite(&self, error: rusqlite::Error) -> StoreError {
        use StoreErrorKind::{Busy, Corrupt, ReadOnly, Schema, Unavailable};

        let (kind, advice) = match &error {
            rusqlite::Error::SqliteFailure(failure, message) => match failure.code {
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed => {
                    let waited = self.busy_timeout.as_millis();
                    let advice = format!(
                        "another process or connection held the lock for longer than {waited} ms; \
                         let it end, and try again"
                    );
                    return self.failure(Busy, &advice, Some(error));
                }
                ErrorCode::ReadOnly => (
                    ReadOnly,
                    "the file or its directory is write-protected; make both writable for this \
                     user, or open it to read only",
                ),
                ErrorCode::NotADatabase => (
                    Corrupt,
                    "this is not a SQLite database; name another file, or restore it from a backup",
                ),
                ErrorCode::DatabaseCorrupt => {
                    (Corrupt, "the file is damaged; restore it from a backup")
                }
                ErrorCode::DiskFull => (Unavailable, FULL_ADVICE),
                // No room for the index of the log, which even a reader needs.
                ErrorCode::SystemIoFailure
                    if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
                {
                    (Unavailable, FULL_ADVICE)
                }
                ErrorCode::CannotOpen => (
                    Unavailable,
                    "the file cannot be opened; check that it exists, and that this user may \
                     write to it and its directory",
                ),
                ErrorCode::ConstraintViolation => {
                    let advice = format!(
                        "the database refuses this change: {}",
                        message.as_deref().unwrap_or("a constraint")
                    );
                    return self.failure(Unavailable, &advice, Some(error));
                }
                // The error of SQLite for a missing table or column.
                ErrorCode::Unknown if failure.extended_code == rusqlite::ffi::SQLITE_ERROR => {
                    (Schema, SCHEMA_ADVICE)
                }
                ErrorCode::SchemaChanged => (Schema, SCHEMA_ADVICE),
                _ => (Unavailable, "SQLite failed; its message is the source"),
            },
            rusqlite::Error::SqlInputError { .. } => (Schema, SCHEMA_ADVICE),
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => (
                Corrupt,
                "a row is not a valid key record; restore the file from a backup",
            ),
            _ => (Unavailable, "SQLite failed; its message is the source"),
        };
        self.failure(kind, advice, Some(error))
    }

    fn failure(
        &self,
        kind: StoreErrorKind,
        advice: &str,
        source: Option<rusqlite::Error>,
    ) -> StoreError {
        let failure = Failure {
            text: format!("{}: {advice}", self.path.display()),
            source: source.map(Into::into),
        };
        StoreError::new(kind, failure)
    }
}

const FULL_ADVICE: &str = "the disk is full, so nothing was changed; free some space";

const SCHEMA_ADVICE: &str = "its table of keys differs from the one that this version of the \
                             crate creates; restore the file from a backup";

/// Whether a repetition may help.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
