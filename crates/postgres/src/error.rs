//! The meaning of a failure of the database, and its remedy.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_timer::Delay;
use sqlx::Error as SqlError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tower_api_key::store::{StoreError, StoreErrorKind};

/// The remedy, and the message of the server or the network: never a URL, a password or a row.
#[derive(Debug, Clone)]
pub(super) struct Reason {
    advice: String,
    cause: Option<String>,
    is_outage: bool,
    is_fenced: bool,
    is_deadlock: bool,
}

/// The remedy for a schema of another version.
pub(super) const MIGRATE: &str =
    "run `tower-api-key migrate`, or apply the migrations of tower-api-key-postgres";

/// The remedy for a pooler that does not support prepared statements.
pub(super) const PREPARED_STATEMENTS: &str = "use session pooling with server_reset_query = \
     DISCARD ALL, or PgBouncer 1.21 or later with max_prepared_statements: this pooler gives one \
     client's prepared statements to another";

/// An error with only its advice.
pub(super) fn because(kind: StoreErrorKind, advice: impl Into<String>) -> StoreError {
    StoreError::new(kind, Reason::new(advice, None))
}

/// A setting that cannot be obeyed.
pub(super) fn wrong(place: &str, advice: impl AsRef<str>) -> StoreError {
    let advice = advice.as_ref();
    because(
        StoreErrorKind::Unavailable,
        format!("correct {place}: {advice}"),
    )
}

impl Reason {
    fn new(advice: impl Into<String>, cause: Option<String>) -> Self {
        Self {
            advice: advice.into(),
            cause,
            is_outage: false,
            is_fenced: false,
            is_deadlock: false,
        }
    }

    /// The kind and the reason of an error of this store.
    pub(super) fn of(error: &StoreError) -> (StoreErrorKind, Self) {
        let reason = error
            .source()
            .and_then(|source| source.downcast_ref::<Self>());
        let reason = reason.cloned();
        let unknown = || Self::new("look into the server's log", None);
        (error.kind(), reason.unwrap_or_else(unknown))
    }

    /// Whether the server was not reached, so that it may be the same as before.
    pub(super) fn is_outage(&self) -> bool {
        self.is_outage
    }

    /// Whether the database has ended the statement for another session: the same statement in the same
    /// transaction would fail again.
    pub(super) fn is_deadlock(error: &StoreError) -> bool {
        Self::of(error).1.is_deadlock
    }

    /// Whether a server refused to write because it is not a primary, or no longer one.
    pub(super) fn is_fenced(error: &StoreError) -> bool {
        Self::of(error).1.is_fenced
    }
}

/// An answer that comes in time, or an error.
pub(super) async fn in_time<T>(
    longest: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut timeout = Delay::new(longest);
    let mut answer = pin!(answer);
    poll_fn(|context| {
        if let Poll::Ready(answer) = answer.as_mut().poll(context) {
            return Poll::Ready(answer);
        }
        pin!(&mut timeout).poll(context).map(|()| {
            let advice = format!(
                "check that the server runs, and the host and the port of the URL: no answer within {} ms",
                longest.as_millis()
            );
            let mut reason = Reason::new(advice, None);
            reason.is_outage = true;
            Err(StoreError::new(StoreErrorKind::Unavailable, reason))
        })
    })
    .await
}

/// A failure outside a commit.
pub(super) fn failed(error: &SqlError) -> StoreError {
    let (kind, advice) = classify(error);
    let cause = match error {
        SqlError::Database(error) => error.message().to_owned(),
        SqlError::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    let code = code(error);
    // It would repeat a value of the URL.
    let cause = (code.as_deref() != Some("22023")).then(|| one_line(&cause));
    let mut reason = Reason::new(advice, cause);
    reason.is_outage = kind == StoreErrorKind::Unavailable;
    reason.is_fenced = code.as_deref() == Some("25006");
    StoreError::new(kind, reason)
}

/// A failure while a change was applied.
pub(super) fn commit_failed(error: &SqlError) -> StoreError {
    match code(error).as_deref() {
        Some("23505") => StoreErrorKind::Duplicate.into(),
        // Another commit was first. The change is computed again from its result.
        Some("40001" | "40P01") => {
            let (_, mut reason) = Reason::of(&failed(error));
            reason.is_deadlock = true;
            StoreError::new(StoreErrorKind::Conflict, reason)
        }
        _ => failed(error),
    }
}

/// Whether the connection was dead before the server could have refused the statement. Another
/// connection may work.
pub(super) fn is_dead(error: &SqlError) -> bool {
    match error {
        SqlError::Io(_) => true,
        // A fatal error ends the session, even if a pooler reports it.
        SqlError::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        _ => false,
    }
}

/// Whether the server answered, so that the connection is in order.
pub(super) fn is_answer(error: &SqlError) -> bool {
    matches!(error, SqlError::Database(_)) && !is_dead(error)
}

pub(super) fn code(error: &SqlError) -> Option<std::borrow::Cow<'_, str>> {
    match error {
        SqlError::Database(error) => error.code(),
        _ => None,
    }
}

fn says(error: &SqlError, text: &str) -> bool {
    matches!(error, SqlError::Database(error) if error.message().contains(text))
}

fn classify(error: &SqlError) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Busy, ReadOnly, Schema, Unavailable};
    match error {
        SqlError::Database(_) => match code(error).as_deref().unwrap_or_default() {
            "08P01" if says(error, "unsupported startup parameter: extra_float_digits") => (
                Unavailable,
                "build the pool's PgConnectOptions with extra_float_digits(None), or set \
                 ignore_startup_parameters = extra_float_digits in the pooler's ini",
            ),
            "08P01" if says(error, "no such database") => (
                Unavailable,
                "add the URL's database to [databases] of the pooler's ini, for example \
                 * = host=127.0.0.1 port=5432",
            ),
            "08P01" if says(error, "no such user") => (
                Unavailable,
                "add the URL's role to the pooler's auth_file, or set its auth_query",
            ),
            _ if says(error, "server_login_retry") || says(error, "query_wait_timeout") => (
                Unavailable,
                "check the host and the port in [databases] of the pooler's ini: it reaches no server",
            ),
            "3D000" => (Unavailable, "create the database that the URL names"),
            "28000" | "28P01" => (Unavailable, "correct the role or the password of the URL"),
            "08P01" if says(error, "password authentication failed") => (
                Unavailable,
                "correct the role or the password of the URL, or those in the pooler's auth_file",
            ),
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
                "try again: this process was suspended in the middle of a transaction, and the \
                 server ended it",
            ),
            "25P01" => (
                Unavailable,
                "begin a transaction, and pass it: the connection has none",
            ),
            "25P02" => (
                Unavailable,
                "roll the transaction back: a statement of it has failed",
            ),
            "55P03" | "57014" | "40001" | "40P01" => (
                Busy,
                "end the session that holds the tables, or try again later",
            ),
            "25006" => (
                ReadOnly,
                "use the URL of the primary, and a role that may write",
            ),
            "42P05" | "26000" => (Unavailable, PREPARED_STATEMENTS),
            "08P01" if says(error, "unsupported startup parameter") => (
                Unavailable,
                "the pooler takes no settings: leave options[...] and PGOPTIONS out, and name the \
                 schema with PostgresOptions::schema, or set the role's search_path",
            ),
            "08P01" if says(error, "prepared statement") || says(error, "bind message") => {
                (Unavailable, PREPARED_STATEMENTS)
            }
            "42704" | "22023" => (
                Unavailable,
                "correct what options[...] in the URL and PGOPTIONS set: the server refuses it",
            ),
            "42501" => (
                ReadOnly,
                "grant the role what the docs of PostgresStore ask for, or CREATE on the schema to migrate",
            ),
            "42P01" | "42703" | "0A000" | "3F000" => (Schema, MIGRATE),
            "TAK01" => (
                Unavailable,
                "find the program that changes the table: it tried to give a key more authority, \
                 and the database refused",
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
            "check the URL's sslmode and sslrootcert against the server's TLS, and that the program has \
             the feature rustls or native-tls of tower-api-key-postgres",
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
