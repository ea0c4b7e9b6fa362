//! The errors of a file, and their remedies.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key_sqlite_schema::failure::{self, OTHER_ADVICE, ROW_ADVICE, SCHEMA_ADVICE, judge};

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
        use StoreErrorKind::{Busy, Corrupt, Schema, Unavailable};

        if is_busy(&error) {
            let waited = self.busy_timeout.as_millis();
            let advice = format!(
                "another process or connection held the lock for longer than {waited} ms; \
                 let it end, and try again"
            );
            return self.failure(Busy, &advice, Some(error));
        }
        let (kind, advice) = match &error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                judge(failure.extended_code, message.as_deref())
            }
            rusqlite::Error::SqlInputError { .. } => (Schema, SCHEMA_ADVICE.into()),
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => (Corrupt, ROW_ADVICE.into()),
            _ => (Unavailable, OTHER_ADVICE.into()),
        };
        self.failure(kind, &advice, Some(error))
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

/// Whether a repetition may help.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    let failed = error.sqlite_error();
    failed.is_some_and(|failed| failure::is_busy(failed.extended_code))
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
