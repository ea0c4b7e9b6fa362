//! Which server counts: the one that the newest connection has reached.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::error::{Reason, because, in_time};
use super::home::{Home, Seen};
use super::reach::Reach;
use super::schema;
use super::tables::Tables;

/// How old the newest connection is at most before another one is opened, while look-ups go on.
const INTERVAL: Duration = Duration::from_secs(1);

/// How old the newest connection is at most while answers count.
pub(super) const BOUND: Duration = Duration::from_secs(5);

/// Whether an answer counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Counts,
    /// It comes from another server than the one that counts, or that is no longer known.
    Elsewhere,
}

/// The last results of the newest connections.
#[derive(Debug, Default)]
struct Found {
    success: Option<(Duration, Home)>,
    failure: Option<(Duration, StoreErrorKind, Reason)>,
    /// Connections that were opened before are closed.
    renewed_at: Duration,
}

pub(super) struct Authority {
    reach: Reach,
    /// Found by the first connection whose server counts.
    tables: OnceLock<Arc<Tables>>,
    timeout: Duration,
    /// Whether a standby counts, and any server does.
    any_server: bool,
    found: watch::Sender<Found>,
    is_probing: AtomicBool,
}

impl Authority {
    pub(super) fn new(reach: Reach, timeout: Duration, any_server: bool) -> Arc<Self> {
        Arc::new(Self {
            reach,
            tables: OnceLock::new(),
            timeout,
            any_server,
            found: watch::Sender::default(),
            is_probing: AtomicBool::new(false),
        })
    }

    /// Finds the tables, and a server that counts, by two connections.
    pub(super) async fn first(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut connection = in_time(self.timeout, self.reach.connect()).await?;
        in_time(self.timeout, self.seen_by(&mut connection)).await?;
        // While the first is open: a pooler that gives both the same session is found out here.
        self.anew().await?;
        let _ = connection.close().await;
        Ok(())
    }

    /// Waits until a connection that was opened within the bound has found a server that counts. Returns
    /// its tables.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<&Arc<Tables>, StoreError> {
        let asked_at = now();
        self.opened_after(asked_at.saturating_sub(BOUND), asked_at)
            .await?;
        let none = || StoreError::from(StoreErrorKind::Unavailable);
        self.tables.get().ok_or_else(none)
    }

    /// The settings of a connection.
    pub(super) fn settings(&self) -> PgConnectOptions {
        self.reach.settings()
    }

    /// Whether a standby counts, and any server does.
    pub(super) fn reads_any_server(&self) -> bool {
        self.any_server
    }

    /// How long to wait for a connection.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether a connection leads to the database of the newest one, and to the same server.
    pub(super) fn is_home(&self, seen: Seen, database: i64) -> bool {
        let newest = self.found.borrow().success;
        newest.is_some_and(|(_, home)| {
            home.database == database && (self.any_server || home.seen.is_of(seen))
        })
    }

    /// Waits for a connection that is opened from now on.
    pub(super) async fn anew(self: &Arc<Self>) -> Result<(), StoreError> {
        let asked_at = now();
        self.opened_after(asked_at, asked_at).await
    }

    /// The connection belongs to the store: if a caller goes away, it does not end.
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

    /// Whether an answer comes from the server that counts.
    pub(super) fn counts(&self, seen: Seen) -> Result<bool, StoreError> {
        Ok(self.judge(seen)? == Worth::Counts)
    }

    /// Whether an answer counts, now that it is here.
    pub(super) fn judge(&self, seen: Seen) -> Result<Worth, StoreError> {
        let seen = seen.check()?;
        if self.any_server {
            return Ok(Worth::Counts);
        }
        let newest = self.found.borrow().success;
        Ok(match newest {
            Some((at, newest))
                if !seen.is_in_recovery
                    && newest.seen.is_of(seen)
                    && now().saturating_sub(at) < BOUND =>
            {
                Worth::Counts
            }
            _ => Worth::Elsewhere,
        })
    }

    /// Forgets which server counts, and closes every connection. The next look-up asks again.
    pub(super) fn renew(&self) {
        let at = now();
        self.found.send_modify(|found| {
            found.success = None;
            found.renewed_at = at;
        });
    }

    /// Whether a connection of this age was opened after the last call that closed all before it.
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
                "try again: the runtime is shutting down",
            )),
        };
        tokio::spawn(async move {
            let authority = Arc::clone(&probing.authority);
            let outcome = authority.ask().await;
            probing.end(outcome);
        });
    }

    /// Opens a connection, and asks which server it has reached.
    async fn ask(&self) -> Result<Home, StoreError> {
        let asked = async {
            let mut connection = self.reach.connect().await?;
            let seen = self.seen_by(&mut connection).await;
            // A server that does not answer is not waited for.
            let _ = connection.close().await;
            seen
        };
        in_time(self.timeout, asked).await
    }

    /// A connection of a caller's own, to a server that counts, with its tables.
    pub(super) async fn connection(&self) -> Result<(PgConnection, Home, Arc<Tables>), StoreError> {
        in_time(self.timeout, async {
            let mut connection = self.reach.connect().await?;
            let home = self.seen_by(&mut connection).await?;
            let none = || StoreError::from(StoreErrorKind::Unavailable);
            let tables = self.tables.get().ok_or_else(none)?;
            Ok((connection, home, Arc::clone(tables)))
        })
        .await
    }

    /// The server that a connection has reached, if it counts. The first connection finds the tables.
    pub(super) async fn seen_by(&self, connection: &mut PgConnection) -> Result<Home, StoreError> {
        let tables = match self.tables.get() {
            Some(tables) => Arc::clone(tables),
            None => Arc::new(self.reach.locate(connection).await?),
        };
        let home = schema::probe(&tables, connection).await?;
        let seen = home.seen.check()?;
        if seen.is_in_recovery && !self.any_server {
            let advice = "use the URL of the primary: this server is a standby, which lags \
                          (danger_read_from_standby allows it)";
            return Err(because(StoreErrorKind::ReadOnly, advice));
        }
        self.tables.get_or_init(|| tables);
        Ok(home)
    }
}

/// A connection that is being opened. However that ends, the callers that wait for it are notified.
struct Probing {
    authority: Arc<Authority>,
    at: Duration,
    outcome: Result<Home, StoreError>,
}

impl Probing {
    fn end(&mut self, outcome: Result<Home, StoreError>) {
        self.outcome = outcome;
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        let failure = StoreError::from(StoreErrorKind::Unavailable);
        let outcome = std::mem::replace(&mut self.outcome, Err(failure));
        // First, because a caller that is woken may want the next.
        self.authority.is_probing.store(false, Ordering::Release);
        self.authority.found.send_modify(|found| match outcome {
            Ok(home) => {
                // A result that was forgotten since it began stays forgotten.
                if self.at < found.renewed_at {
                    return;
                }
                let any_server = self.authority.any_server;
                let is_other = found
                    .success
                    .is_some_and(|(_, before)| home.ends(before, any_server));
                if is_other {
                    found.renewed_at = self.at;
                }
                found.success = Some((self.at, home));
                found.failure = None;
            }
            Err(error) => {
                let (kind, reason) = Reason::of(&error);
                // If a server answers, and may not count, it ends the earlier result. If it does not
                // answer, that result holds until the bound.
                if !reason.is_outage() {
                    found.success = None;
                }
                found.failure = Some((self.at, kind, reason));
            }
        });
    }
}

/// Since the machine started, including the time that it slept.
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
