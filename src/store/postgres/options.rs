//! How a store connects.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_timer::Delay;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::super::{StoreError, StoreErrorKind};
use super::connection::Connections;
use super::error::{URL, because, failed, unreadable};
use super::{PostgresStore, schema};

/// How a [`PostgresStore`] connects, where the defaults do not fit.
///
/// ```no_run
/// use std::time::Duration;
/// use tower_api_key::store::PostgresOptions;
///
/// # async fn connect() -> Result<(), tower_api_key::store::StoreError> {
/// let store = PostgresOptions::new()
///     .max_connections(20)
///     .acquire_timeout(Duration::from_millis(500))
///     .connect("postgres://orders@db.internal/keys?sslmode=verify-full")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    max_connections: u32,
    acquire_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PostgresOptions {
    /// At most 10 connections, and one second to get one.
    pub fn new() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(1),
        }
    }

    /// At most this many connections at a time. Default: 10. All the services together must stay
    /// below the server's own limit, which is 100 as it comes. Zero counts as one.
    #[must_use]
    pub fn max_connections(mut self, most: u32) -> Self {
        self.max_connections = most.max(1);
        self
    }

    /// How long a call waits for a connection, be it that all are in use, or that the server
    /// does not answer. Default: one second. Keep it below the ring's
    /// [`lookup_timeout`](crate::RingBuilder::lookup_timeout), so that a request learns from the
    /// store what is wrong.
    #[must_use]
    pub fn acquire_timeout(mut self, longest: Duration) -> Self {
        self.acquire_timeout = longest;
        self
    }

    /// Connects, and makes sure that the schema is the one that this crate reads.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::connect`].
    pub async fn connect(&self, url: &str) -> Result<PostgresStore, StoreError> {
        let url = parse(url)?;
        let mut connection = self.one(&url).await?;
        self.in_time(schema::check(&mut connection)).await?;
        // The pool tests a connection when it is given back, and a look-up replaces one that died
        // since: no test before each look-up, which would double its round trips.
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            .test_before_acquire(false)
            .connect_lazy_with(url);
        let _ = connection.close().await;
        Ok(PostgresStore(Arc::new(Connections::new(pool))))
    }

    /// Brings the schema to the version that this crate reads, and says how many migrations that
    /// took.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::migrate`].
    pub async fn migrate(&self, url: &str) -> Result<u32, StoreError> {
        let mut connection = self.one(&parse(url)?).await?;
        let applied = schema::migrate(&mut connection).await?;
        let _ = connection.close().await;
        Ok(applied)
    }

    /// A connection of its own, whose failure says more than a pool's.
    async fn one(&self, url: &PgConnectOptions) -> Result<PgConnection, StoreError> {
        let connect = async { url.connect().await.map_err(|error| failed(&error)) };
        self.in_time(connect).await
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut timeout = Delay::new(self.acquire_timeout);
        let mut answer = pin!(answer);
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            pin!(&mut timeout).poll(context).map(|()| {
                let advice = format!(
                    "check that the server runs, and the host and the port of the URL: no answer within {} ms",
                    self.acquire_timeout.as_millis()
                );
                Err(because(StoreErrorKind::Unavailable, advice))
            })
        })
        .await
    }
}

fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        let advice = format!("{URL}: it does not begin with postgres://");
        return Err(because(StoreErrorKind::Unavailable, advice));
    }
    // The parser's own errors name what is wrong, and repeat no part of the URL but an option.
    let options = PgConnectOptions::from_str(url).map_err(|error| unreadable(&error))?;
    Ok(options.disable_statement_logging())
}
