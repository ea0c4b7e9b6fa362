//! The origin of an answer.

use sqlx::postgres::PgRow;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::error::{PREPARED_STATEMENTS, because};
use super::record::column;
use super::tables::SEEN;

/// The origin that an answer states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) is_in_recovery: bool,
    pub(super) started_at: i64,
    is_hidden: bool,
}

/// The database and server, and in which of its histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) seen: Seen,
    /// A promotion begins another history, with or without a restart.
    pub(super) timeline: i32,
    pub(super) database: i64,
    /// The version of the schema.
    pub(super) version: usize,
}

impl Seen {
    /// Reads the columns that [`seen!`] has put in front of a row.
    pub(super) fn of(row: &PgRow, statement: &str) -> Result<Self, StoreError> {
        // First, because the others may mean something else.
        let answered: &str = column(row, SEEN - 1)?;
        if answered != statement {
            return Err(because(StoreErrorKind::Unavailable, PREPARED_STATEMENTS));
        }
        Ok(Self {
            is_in_recovery: column(row, 0)?,
            started_at: column(row, 1)?,
            is_hidden: column(row, 2)?,
        })
    }

    /// The same of an answer that has rows, as every answer to such a statement does.
    pub(super) fn first_of(rows: &[PgRow], statement: &str) -> Result<Self, StoreError> {
        let first = rows.first();
        let first = first.ok_or_else(|| because(StoreErrorKind::Unavailable, PREPARED_STATEMENTS));
        Self::of(first?, statement)
    }

    pub(super) fn check(self) -> Result<Self, StoreError> {
        if self.is_hidden {
            let advice = "give the role BYPASSRLS, or disable row-level security on \
                          tower_api_keys: a policy may hide rows from it";
            return Err(because(StoreErrorKind::Unavailable, advice));
        }
        Ok(self)
    }
}

impl Seen {
    /// Whether both answers come from one run of one server.
    pub(super) fn is_of(self, other: Self) -> bool {
        self.started_at == other.started_at
    }
}

impl Home {
    /// Whether the connections that were opened before lead elsewhere, or to a server that has
    /// begun another history since.
    pub(super) fn ends(self, before: Self, any_server: bool) -> bool {
        if self.seen.is_of(before.seen) {
            self.timeline != before.timeline
                || self.seen.is_in_recovery != before.seen.is_in_recovery
                || self.database != before.database
        } else {
            // If any server counts, they may take turns.
            !any_server
        }
    }
}
