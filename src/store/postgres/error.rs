//! What a failure of the database means, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use sqlx::Error as SqlError;

use super::super::{StoreError, StoreErrorKind};
use super::schema::MIGRATE;

/// What to do, and what the server or the network said: never a URL, a password or a row.
#[derive(Debug)]
struct Reason {
    advice: String,
    cause: Option<String>,
}

/// What a URL looks like.
pub(super) const URL: &str = "write the URL as postgres://role:password@host:port/database";

/// An error with its advice alone.
pub(super) fn because(kind: StoreErrorKind, advice: impl Into<String>) -> StoreError {
    let reason = Reason {
        advice: advice.into(),
        cause: None,
    };
    StoreError::new(kind, reason)
}

/// A URL that names no database. What cannot be read is not repeated.
pub(super) fn unreadable(cause: &(dyn StdError + 'static)) -> StoreError {
    // The innermost says it; those around it say that there is one.
    let causes = std::iter::successors(Some(cause), |&cause| cause.source());
    let cause = causes.last().unwrap_or(cause);
    let reason = Reason {
        advice: URL.to_owned(),
        cause: Some(one_line(&cause.to_string())),
    };
    StoreError::new(StoreErrorKind::Unavailable, reason)
}

/// What failed outside of a commit.
pub(super) fn failed(error: &SqlError) -> StoreError {
    let (kind, advice) = classify(error);
    let cause = match error {
        SqlError::Database(error) => error.message().to_owned(),
        SqlError::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    let reason = Reason {
        advice: advice.to_owned(),
        cause: Some(one_line(&cause)),
    };
    StoreError::new(kind, reason)
}

/// What failed while a change was applied.
pub(super) fn commit_failed(error: &SqlError) -> StoreError {
    match code(error).as_deref() {
        Some("23505") => StoreErrorKind::Duplicate.into(),
        // Another commit was first; the change is computed anew from what it left.
        Some("40001" | "40P01") => StoreErrorKind::Conflict.into(),
        _ => failed(error),
    }
}

/// Whether the connection was dead before the statement could have been refused by the server:
/// another connection may do.
pub(super) fn is_dead(error: &SqlError) -> bool {
    match error {
        SqlError::Io(_) => true,
        SqlError::Database(_) => {
            matches!(code(error).as_deref(), Some("57P01" | "57P02" | "57P05"))
        }
        _ => false,
    }
}

/// Whether the server answered, so that the connection is in order.
pub(super) fn is_answer(error: &SqlError) -> bool {
    matches!(error, SqlError::Database(_)) && !is_dead(error)
}

fn code(error: &SqlError) -> Option<std::borrow::Cow<'_, str>> {
    match error {
        SqlError::Database(error) => error.code(),
        _ => None,
    }
}

fn classify(error: &SqlError) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Busy, ReadOnly, Schema, Unavailable};
    match error {
        SqlError::Database(_) => match code(error).as_deref().unwrap_or_default() {
            "3D000" => (Unavailable, "create the database that the URL names"),
            "28000" | "28P01" => (Unavailable, "correct the role or the password of the URL"),
            "53300" => (
                Unavailable,
                "give the server more connections, or the services smaller pools",
            ),
            "53100" => (Unavailable, "free space on the server's disk"),
            "57P01" | "57P02" | "57P03" | "57P05" => {
                (Unavailable, "wait until the server is up again")
            }
            "25P03" => (
                Unavailable,
                "try again: this process stood still in the middle of a transaction, and the \
                 server ended it",
            ),
            "55P03" | "57014" | "40001" | "40P01" => (
                Busy,
                "end the session that holds the tables, or try again later",
            ),
            "25006" => (
                ReadOnly,
                "use the URL of the primary, and a role that may write",
            ),
            "42501" => (
                ReadOnly,
                "grant the role what the docs of PostgresStore ask for, or CREATE on the schema to migrate",
            ),
            "42P01" | "42703" | "0A000" | "3F000" => (Schema, MIGRATE),
            "TAK01" => (
                Unavailable,
                "find out who changes the table; the database refused more authority",
            ),
            code if code.starts_with("22") || code.starts_with("23") => {
                (Unavailable, "the database cannot hold this record")
            }
            _ => (Unavailable, "look into the server's log"),
        },
        SqlError::Io(_) => (
            Unavailable,
            "check that the server runs, and the host and the port of the URL",
        ),
        SqlError::Tls(_) => (
            Unavailable,
            "check the URL's sslmode and sslrootcert against the server's TLS",
        ),
        SqlError::PoolTimedOut => (
            Unavailable,
            "check that the server runs, or give the store more connections",
        ),
        SqlError::ColumnDecode { .. } | SqlError::ColumnNotFound(_) => (Schema, MIGRATE),
        _ => (Unavailable, "look into the server's log"),
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.advice)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl StdError for Reason {}
