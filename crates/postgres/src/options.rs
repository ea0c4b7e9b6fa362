//! The settings of a connection.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgPool};
use tokio::runtime::Handle;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::authority::Authority;
use super::connection::Connections;
use super::error::{because, in_time};
use super::reach::Reach;
use super::{PostgresStore, url};

/// How a [`PostgresStore`] connects, if the defaults do not fit.
///
/// ```no_run
/// use std::time::Duration;
/// use tower_api_key_postgres::PostgresOptions;
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
    schema: Option<String>,
    any_server: bool,
    is_lazy: bool,
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
            schema: None,
            any_server: false,
            is_lazy: false,
        }
    }

    /// At most this many connections at a time. Default: 10. All the services together must stay below
    /// the server's own limit, which is 100 by default. Zero counts as one. A [pool](Self::with_pool)
    /// that is borrowed has its own limit, and this one has no effect.
    #[must_use]
    pub fn max_connections(mut self, most: u32) -> Self {
        self.max_connections = most.max(1);
        self
    }

    /// How long a call waits for a connection, because all are in use or because the server does not
    /// answer. Default: one second. Keep it below the ring's
    /// [`lookup_timeout`](tower_api_key::KeyRingBuilder::lookup_timeout), so that a request gets the cause from
    /// the store.
    #[must_use]
    pub fn acquire_timeout(mut self, longest: Duration) -> Self {
        self.acquire_timeout = longest;
        self
    }

    /// The schema that holds the tables. Default: the first of the session's `search_path` that has
    /// them, or in which they can be created. It must exist.
    ///
    /// Use this to name a schema through a pooler, which does not accept `options[search_path]`.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// Lets a standby answer, and any server that the URL leads to.
    ///
    /// A standby lags, and one that is cut off lags without end: **a key that was revoked is accepted
    /// until the standby receives the revocation**. The store no longer notices a failover either.
    /// Without this, [`connect`](Self::connect) refuses a standby, and so does each look-up.
    #[must_use]
    pub fn danger_read_from_standby(mut self) -> Self {
        self.any_server = true;
        self
    }

    /// Starts without the database, for a service that may start before it.
    ///
    /// [`connect`](Self::connect) and [`with_pool`](Self::with_pool) then return at once, and refuse
    /// only errors that no server could change, such as a URL that cannot be read. Until a server
    /// answers, is the primary, and has the schema that this crate reads, each request is a 503. The
    /// [failure](tower_api_key::Event::failure) of its event says why. Every look-up tries again, one connection
    /// at a time.
    ///
    /// ```
    /// use tower_api_key::{KeyRing, VerifyErrorKind};
    /// use tower_api_key_postgres::PostgresOptions;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// // There is no server yet.
    /// let url = "postgres://orders@127.0.0.1:1/keys";
    /// let store = PostgresOptions::new().lazy().connect(url).await?;
    /// let ring = KeyRing::builder("acme").build(store)?;
    ///
    /// let key = b"acme_000000000000_00000000000000000000000000000000";
    /// # let key = {
    /// #     let other = KeyRing::builder("acme").build(tower_api_key::store::MemoryStore::new())?;
    /// #     other.issue(tower_api_key::Grant::new("alice")).await?
    /// # };
    /// # let key = key.secret().expose().as_bytes();
    /// let error = ring.verify(key).await.unwrap_err();
    /// assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.is_lazy = true;
        self
    }

    /// Connects, and checks that the schema is the one that this crate reads.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::connect`].
    pub async fn connect(&self, url: &str) -> Result<PostgresStore, StoreError> {
        let url = url::parse(url)?;
        let options = url.options.clone();
        let authority = self
            .authority(Reach::of_url(url, self.schema.clone()))
            .await?;
        let keeper = Arc::clone(&authority);
        // The pool tests a connection when it is given back, and a look-up replaces one that died since.
        // There is no test before each look-up, because it would double the round trips.
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |_, connection| {
                let keeps = keeper.keeps(connection.age);
                Box::pin(async move { Ok(keeps) })
            })
            .connect_lazy_with(options);
        Ok(PostgresStore::new(Connections::new(pool, authority)))
    }

    /// Uses the application's own pool, and checks that the schema is the one that this crate reads. The
    /// store and the application share the connections of the pool, and its limits.
    ///
    /// See [the docs of the store](PostgresStore#a-borrowed-pool) for its limits on a pool that it
    /// borrows.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::connect`], except for the URL, which the pool has read.
    pub async fn with_pool(&self, pool: PgPool) -> Result<PostgresStore, StoreError> {
        let reach = Reach::of_pool(pool.clone(), self.schema.clone());
        let authority = self.authority(reach).await?;
        Ok(PostgresStore::new(Connections::new(pool, authority)))
    }

    /// Migrates the schema to the version that this crate reads, and returns how many migrations were
    /// applied.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::migrate`].
    pub async fn migrate(&self, url: &str) -> Result<u32, StoreError> {
        let url = url::parse(url)?;
        self.migrate_in(&Reach::of_url(url, self.schema.clone()))
            .await
    }

    /// Migrates the schema of a pool's database to the version that this crate reads, and returns how
    /// many migrations were applied. It opens a connection with the settings of the pool, and closes it.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::migrate`].
    pub async fn migrate_pool(&self, pool: &PgPool) -> Result<u32, StoreError> {
        self.migrate_in(&Reach::of_pool(pool.clone(), self.schema.clone()))
            .await
    }

    async fn migrate_in(&self, reach: &Reach) -> Result<u32, StoreError> {
        let mut connection = in_time(self.acquire_timeout, reach.connect()).await?;
        let applied = reach.migrate(&mut connection).await?;
        let _ = connection.close().await;
        Ok(applied)
    }

    /// Finds out which server counts. If the store may not start without one, it has found it.
    async fn authority(&self, reach: Reach) -> Result<Arc<Authority>, StoreError> {
        if Handle::try_current().is_err() {
            let advice = "connect in a Tokio runtime: this thread has none";
            return Err(because(StoreErrorKind::Unavailable, advice));
        }
        let authority = Authority::new(reach, self.acquire_timeout, self.any_server);
        if !self.is_lazy {
            authority.first().await?;
        }
        Ok(authority)
    }
}
