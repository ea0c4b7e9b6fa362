//! Which server counts: the one that the newest connection has reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::watch;

use super::super::{StoreError, StoreErrorKind};
use super::error::{Reason, because, failed, in_time};
use super::schema;
use super::tables::{SEEN, Tables, seen};

/// How old the newest connection is at most before another one is opened, while look-ups go on.
const INTERVAL: Duration = Duration::from_secs(1);

/// How old the newest connection is at most while answers count.
pub(super) const BOUND: Duration = Duration::from_secs(5);

/// Prepared, so that a pooler that mixes statements up is found out.
pub(super) const PROBE: &str = concat!(
    "SELECT ",
    seen!("probe"),
    ", class.relkind::pg_catalog.text, \
     EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS trigger WHERE trigger.tgrelid = class.oid \
         AND trigger.tgname = 'tower_api_keys_guard'), \
     (SELECT pg_catalog.max(version) FROM @.tower_api_key_migrations) \
     FROM pg_catalog.pg_class AS class WHERE class.oid = '@literal.tower_api_keys'::pg_catalog.regclass"
);

/// What an answer says of where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    is_in_recovery: bool,
    started_at: i64,
    is_hidden: bool,
}

impl Seen {
    /// Reads what [`seen!`] has put in front of a row.
    pub(super) fn of(row: &PgRow, statement: &str) -> Result<Self, StoreError> {
        use super::record::column;
        // First, because the others may mean something else.
        let answered: &str = column(row, SEEN - 1)?;
        if answered != statement {
            return Err(because(
                StoreErrorKind::Unavailable,
                super::error::PREPARED_STATEMENTS,
            ));
        }
        Ok(Self {
            is_in_recovery: column(row, 0)?,
            started_at: column(row, 1)?,
            is_hidden: column(row, 2)?,
        })
    }

    fn check(self) -> Result<Self, StoreError> {
        if self.is_hidden {
            let advice = "give the role BYPASSRLS, or disable row-level security on \
                          tower_api_keys: a policy may hide rows from it";
            return Err(because(StoreErrorKind::Unavailable, advice));
        }
        Ok(self)
    }
}

/// What an answer is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Counts,
    /// It comes from another server than the one that counts, or nobody knows any more.
    Elsewhere,
}

/// The last that newest connections have found.
#[derive(Debug, Default)]
struct Found {
    success: Option<(Duration, Seen)>,
    failure: Option<(Duration, StoreErrorKind, Reason)>,
    /// Connections that were opened before are closed.
    renewed_at: Duration,
}

pub(super) struct Authority {
    url: PgConnectOptions,
    tables: Arc<Tables>,
    timeout: Duration,
    /// Whether a standby counts, and any server does.
    any_server: bool,
    found: watch::Sender<Found>,
    is_probing: AtomicBool,
}

impl Authority {
    pub(super) fn new(
        url: PgConnectOptions,
        tables: Arc<Tables>,
        timeout: Duration,
        any_server: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            url,
            tables,
            timeout,
            any_server,
            found: watch::Sender::default(),
            is_probing: AtomicBool::new(false),
        })
    }

    /// Waits until a connection that was opened within the bound has found a server that counts.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), StoreError> {
        let asked_at = now();
        self.opened_after(asked_at.saturating_sub(BOUND), asked_at)
            .await
    }

    /// Waits for a connection that is opened from now on.
    pub(super) async fn anew(self: &Arc<Self>) -> Result<(), StoreError> {
        let asked_at = now();
        self.opened_after(asked_at, asked_at).await
    }

    /// The connection belongs to the store: a caller that goes away does not end it.
    async fn opened_after(
        self: &Arc<Self>,
        earliest: Duration,
        asked_at: Duration,
    ) -> Result<(), StoreError> {
        let mut found = self.found.subscribe();
        loop {
            {
                let found = found.borrow_and_update();
                if let Some((at, _)) = found.success
                    && at >= earliest
                {
                    if asked_at.saturating_sub(at) >= INTERVAL {
                        self.probe();
                    }
                    return Ok(());
                }
                if let Some((at, kind, reason)) = &found.failure
                    && *at >= asked_at
                {
                    return Err(StoreError::new(*kind, reason.clone()));
                }
            }
            self.probe();
            if found.changed().await.is_err() {
                return Err(StoreErrorKind::Unavailable.into());
            }
        }
    }

    /// What an answer is worth now that it is here.
    pub(super) fn judge(&self, seen: Seen) -> Result<Worth, StoreError> {
        let seen = seen.check()?;
        if self.any_server {
            return Ok(Worth::Counts);
        }
        let newest = self.found.borrow().success;
        Ok(match newest {
            Some((at, newest))
                if !seen.is_in_recovery
                    && newest.started_at == seen.started_at
                    && now().saturating_sub(at) < BOUND =>
            {
                Worth::Counts
            }
            _ => Worth::Elsewhere,
        })
    }

    /// Forgets which server counts, and closes every connection: the next look-up asks anew.
    pub(super) fn renew(&self) {
        let at = now();
        self.found.send_modify(|found| {
            found.success = None;
            found.renewed_at = at;
        });
    }

    /// Whether a connection of this age was opened after the last that put an end to those before.
    pub(super) fn keeps(&self, age: Duration) -> bool {
        let opened_at = now().saturating_sub(age);
        opened_at >= self.found.borrow().renewed_at
    }

    /// Opens a connection, unless one is being opened.
    fn probe(self: &Arc<Self>) {
        if self.is_probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut probing = Probing {
            authority: Arc::clone(self),
            at: now(),
            outcome: Err(because(
                StoreErrorKind::Unavailable,
                "try again: the runtime ends",
            )),
        };
        tokio::spawn(async move {
            let authority = Arc::clone(&probing.authority);
            let outcome = authority.ask().await;
            probing.end(outcome);
        });
    }

    /// Opens a connection, and asks it which server it has reached.
    async fn ask(&self) -> Result<Seen, StoreError> {
        let asked = async {
            let connected = self.url.connect().await;
            let mut connection = connected.map_err(|error| failed(&error))?;
            let seen = self.seen_by(&mut connection).await;
            // A server that does not answer is not waited for.
            let _ = connection.close().await;
            seen
        };
        in_time(self.timeout, asked).await
    }

    /// What a connection sees, if that counts.
    pub(super) async fn seen_by(&self, connection: &mut PgConnection) -> Result<Seen, StoreError> {
        let (seen, is_in_recovery) = schema::probe(&self.tables, connection).await?;
        let seen = seen.check()?;
        if is_in_recovery && !self.any_server {
            let advice = "use the URL of the primary: this server is a standby, which lags \
                          (danger_read_from_standby allows it)";
            return Err(because(StoreErrorKind::ReadOnly, advice));
        }
        Ok(seen)
    }
}

impl Seen {
    pub(super) fn is_in_recovery(self) -> bool {
        self.is_in_recovery
    }
}

/// A connection that is on its way. However that ends, those who wait for it learn of it.
struct Probing {
    authority: Arc<Authority>,
    at: Duration,
    outcome: Result<Seen, StoreError>,
}

impl Probing {
    fn end(&mut self, outcome: Result<Seen, StoreError>) {
        self.outcome = outcome;
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        let failure = StoreError::from(StoreErrorKind::Unavailable);
        let outcome = std::mem::replace(&mut self.outcome, Err(failure));
        // First: who is woken may want the next.
        self.authority.is_probing.store(false, Ordering::Release);
        self.authority.found.send_modify(|found| match outcome {
            Ok(seen) => {
                // What was forgotten since it began stays so.
                if self.at < found.renewed_at {
                    return;
                }
                let is_other = found
                    .success
                    .is_some_and(|(_, before)| before.started_at != seen.started_at);
                if is_other && !self.authority.any_server {
                    found.renewed_at = self.at;
                }
                found.success = Some((self.at, seen));
                found.failure = None;
            }
            Err(error) => {
                let (kind, reason) = Reason::of(&error);
                // A server that answers, and may not count, ends what was found before; one that
                // does not answer has until the bound.
                if !reason.is_outage() {
                    found.success = None;
                }
                found.failure = Some((self.at, kind, reason));
            }
        });
    }
}

/// Since the machine started, with the time that it slept.
pub(super) fn now() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::sync::LazyLock;
        use std::time::Instant;
        #[allow(
            clippy::disallowed_methods,
            reason = "the age of a connection is real time"
        )]
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}
