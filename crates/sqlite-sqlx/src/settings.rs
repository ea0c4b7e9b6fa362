//! What a connection of a pool must be set to, and the schema that it sees.

use sqlx::sqlite::SqliteConnection;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::place::Place;
use super::statement::{asked, column, first};

/// Names that only a table of the application of the same name could take.
const SEEN: &str = "SELECT seen.schema_version, application.application_id, version.user_version, \
     uncommitted.read_uncommitted, checks.ignore_check_constraints, synchronous.synchronous, \
     journal.journal_mode, encoding.encoding \
     FROM pragma_schema_version AS seen, pragma_application_id AS application, \
     pragma_user_version AS version, pragma_read_uncommitted AS uncommitted, \
     pragma_ignore_check_constraints AS checks, pragma_synchronous AS synchronous, \
     pragma_journal_mode AS journal, pragma_encoding AS encoding";

/// The state of a connection.
pub(super) struct Settings {
    /// It changes with each change of the schema.
    pub(super) schema_version: i64,
    pub(super) application_id: i64,
    /// The version of the store's tables.
    pub(super) user_version: i64,
    reads_uncommitted: bool,
    ignores_checks: bool,
    synchronous: i64,
    journal_mode: String,
    encoding: String,
}

/// What is asked of a connection that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// A commit is on the disk when it returns.
    Full,
    /// A power failure may undo the last commits.
    LosesCommits,
}

impl Settings {
    pub(super) async fn of(
        connection: &mut SqliteConnection,
        place: &Place,
    ) -> Result<Self, StoreError> {
        let fail = |error| place.sqlx(error);
        let row = first(connection, asked(SEEN)).await.map_err(fail)?;
        let row = row.ok_or_else(|| {
            place.error(
                StoreErrorKind::Unavailable,
                "SQLite does not say how it is set; use one that is built with its pragmas as tables",
            )
        })?;
        let number = |place| column::<i64>(&row, place);
        let read = || {
            Ok(Self {
                schema_version: number(0)?,
                application_id: number(1)?,
                user_version: number(2)?,
                reads_uncommitted: number(3)? != 0,
                ignores_checks: number(4)? != 0,
                synchronous: number(5)?,
                journal_mode: column(&row, 6)?,
                encoding: column(&row, 7)?,
            })
        };
        read().map_err(fail)
    }

    /// Refuses settings by which an answer could be wrong.
    pub(super) fn require_readable(&self, place: &Place) -> Result<(), StoreError> {
        let advice = if self.reads_uncommitted {
            READS_UNCOMMITTED
        } else if self.encoding != "UTF-8" {
            "the database is in UTF-16, in which the limits of texts are others; keep the keys in \
             one in UTF-8"
        } else {
            return Ok(());
        };
        Err(place.error(StoreErrorKind::Unavailable, advice))
    }

    /// Refuses settings by which a commit could be undone, or be half a one.
    pub(super) fn require_writable(
        &self,
        place: &Place,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.require_readable(place)?;
        let advice = if self.ignores_checks {
            "the connection ignores constraints; set PRAGMA ignore_check_constraints = OFF"
        } else if self.journal_mode == "off" {
            "the connection has no journal, so it cannot undo half a commit; set the journal mode \
             of the pool to WAL"
        } else if place.is_in_memory() {
            return Ok(());
        } else if self.journal_mode == "memory" {
            "the journal is in memory, so a crash would damage the file; set the journal mode of \
             the pool to WAL"
        } else if durability == Durability::LosesCommits {
            return Ok(());
        } else if self.journal_mode == "delete" && self.synchronous < EXTRA {
            "a power failure could undo a revocation; set the journal mode of the pool to WAL, or \
             its synchronous to EXTRA"
        } else if self.synchronous < FULL {
            "a power failure could undo a revocation; set synchronous of the pool to FULL"
        } else {
            return Ok(());
        };
        Err(place.error(StoreErrorKind::Unavailable, advice))
    }
}

pub(super) const READS_UNCOMMITTED: &str = "the connection reads what is not committed; set PRAGMA \
                                            read_uncommitted = OFF";

/// In the mode DELETE, the folder is written to the disk too, without which a journal can come back.
const EXTRA: i64 = 3;
const FULL: i64 = 2;

/// The path of the database as SQLite names it, empty in memory.
pub(super) async fn path(
    connection: &mut SqliteConnection,
    place: &Place,
) -> Result<String, StoreError> {
    let path = "SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'";
    let row = first(connection, asked(path)).await;
    let row = row.map_err(|error| place.sqlx(error))?;
    let path = row.map(|row| column(&row, 0)).transpose();
    path.map(Option::unwrap_or_default)
        .map_err(|error| place.sqlx(error))
}
