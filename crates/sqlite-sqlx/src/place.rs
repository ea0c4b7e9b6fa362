//! The database of the pool, and the errors that name it.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

use sqlx::Error as SqlError;
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key_sqlite_schema::failure::{OTHER_ADVICE, ROW_ADVICE, judge};

/// The message of SQLite for a connection that is in a transaction already.
const WITHIN: &str = "cannot start a transaction within a transaction";

/// That for a `ROLLBACK` on one that is in none.
const WITHOUT: &str = "cannot rollback - no transaction is active";

/// The file that the pool leads to, or a database in memory.
#[derive(Debug)]
pub(super) struct Place {
    path: Option<PathBuf>,
    file: Option<FileId>,
}

/// Device and inode.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = ();

impl Place {
    /// The place that SQLite names, empty for a database in memory.
    pub(super) fn new(path: &str) -> Self {
        let path = (!path.is_empty()).then(|| PathBuf::from(path));
        let file = path.as_deref().and_then(file_id);
        Self { path, file }
    }

    /// Whether a connection leads here that has its database at this path.
    pub(super) fn is_at(&self, path: &str) -> bool {
        let other = Self::new(path);
        match self.file {
            Some(file) => other.file == Some(file),
            None => other.path == self.path,
        }
    }

    pub(super) fn is_in_memory(&self) -> bool {
        self.path.is_none()
    }

    /// Refuses a file with several names. Each name has its own log, so none sees revocations through another.
    pub(super) fn require_one_name(&self) -> Result<(), StoreError> {
        #[cfg(unix)]
        if let Some(Ok(found)) = self.path.as_ref().map(|path| path.metadata())
            && std::os::unix::fs::MetadataExt::nlink(&found) > 1
        {
            let advice = "the file has several names (hard links), and changes by another name are \
                          not seen by this one; leave it one name";
            return Err(self.error(StoreErrorKind::Unavailable, advice));
        }
        Ok(())
    }

    /// Refuses an answer if the file at the path is no longer the one that the store was opened over. Connections of
    /// the pool may still lead to the old one, and others to the new.
    pub(super) fn require_current(&self) -> Result<(), StoreError> {
        if let (Some(path), Some(file)) = (&self.path, self.file)
            && file_id(path) != Some(file)
        {
            let advice = "another file is at the path, or none; close the pool, and open the store \
                          anew over another";
            return Err(self.error(StoreErrorKind::Unavailable, advice));
        }
        Ok(())
    }

    /// An error that SQLite does not report.
    pub(super) fn error(&self, kind: StoreErrorKind, advice: &str) -> StoreError {
        StoreError::new(kind, self.failure(advice, None))
    }

    /// An error of sqlx or of SQLite.
    pub(super) fn sqlx(&self, error: SqlError) -> StoreError {
        use StoreErrorKind::{Corrupt, Unavailable};

        let (kind, advice) = match &error {
            SqlError::Database(failed) => match code(&error) {
                Some(_) if is_within(&error) => (Unavailable, LEFT_ADVICE.into()),
                Some(code) => judge(code, Some(failed.message())),
                None => (Unavailable, OTHER_ADVICE.into()),
            },
            SqlError::ColumnDecode { .. } | SqlError::Decode(_) => (Corrupt, ROW_ADVICE.into()),
            SqlError::PoolTimedOut => (Unavailable, TIMED_OUT_ADVICE.into()),
            SqlError::PoolClosed => (Unavailable, CLOSED_ADVICE.into()),
            _ => (Unavailable, "sqlx failed; its message is the source".into()),
        };
        StoreError::new(kind, self.failure(&advice, Some(error)))
    }

    fn failure(&self, advice: &str, source: Option<SqlError>) -> Failure {
        let text = match &self.path {
            Some(path) => format!("{}: {advice}", path.display()),
            None => format!("the database in memory: {advice}"),
        };
        Failure { text, source }
    }
}

const LEFT_ADVICE: &str = "a connection was left in a transaction; end each transaction that the \
                           application begins with a statement, also if its future is dropped";

const TIMED_OUT_ADVICE: &str = "the pool had no connection within its acquire_timeout; allow it \
                                more connections, or hold them for a shorter time";

const CLOSED_ADVICE: &str = "the pool is closed; close it after the store is no longer used";

/// The extended result code of SQLite.
pub(super) fn code(error: &SqlError) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether a `BEGIN` met a connection that is in a transaction already.
pub(super) fn is_within(error: &SqlError) -> bool {
    says(error, WITHIN)
}

/// Whether a `ROLLBACK` met a connection that is in no transaction.
pub(super) fn is_without(error: &SqlError) -> bool {
    says(error, WITHOUT)
}

fn says(error: &SqlError, message: &str) -> bool {
    let failed = error.as_database_error();
    failed.is_some_and(|failed| failed.message() == message)
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;

    let found = path.metadata().ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<FileId> {
    None
}

/// The source of a [`StoreError`]: the database, and the remedy.
#[derive(Debug)]
struct Failure {
    text: String,
    source: Option<SqlError>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// An error before there is a database to name.
pub(super) fn because(kind: StoreErrorKind, advice: &'static str) -> StoreError {
    StoreError::new(kind, advice)
}
