//! How a store connects.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::super::{StoreError, StoreErrorKind};
use super::authority::Authority;
use super::connection::Connections;
use super::error::{because, failed, in_time};
use super::record::column;
use super::tables::Tables;
use super::url::Url;
use super::{PostgresStore, schema, url};

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
    schema: Option<String>,
    any_server: bool,
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

    /// The schema that holds the tables. Default: the first of the session's `search_path` that has
    /// them, or into which they can be migrated. It must exist.
    ///
    /// This is the way to name a schema through a pooler, which takes no `options[search_path]`.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// Lets a standby answer, and any server that the URL leads to.
    ///
    /// A standby lags, and one that is cut off lags without end: **a key that was revoked is accepted
    /// until the standby learns of it**. The store no longer notices a failover either. Without
    /// this, [`connect`](Self::connect) refuses a standby, and so does each look-up.
    #[must_use]
    pub fn danger_read_from_standby(mut self) -> Self {
        self.any_server = true;
        self
    }

    /// Connects, and makes sure that the schema is the one that this crate reads.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::connect`].
    pub async fn connect(&self, url: &str) -> Result<PostgresStore, StoreError> {
        let url = url::parse(url)?;
        let mut connection = self.one(&url.options).await?;
        let checked = self.checked(&url, &mut connection);
        let tables = in_time(self.acquire_timeout, checked).await?;
        let authority = Authority::new(
            url.options.clone(),
            Arc::clone(&tables),
            self.acquire_timeout,
            self.any_server,
        );
        let seen = authority.seen_by(&mut connection);
        in_time(self.acquire_timeout, seen).await?;
        // While the first is open: a pooler that gives both the same session is found out here.
        authority.anew().await?;
        let keeper = Arc::clone(&authority);
        // The pool tests a connection when it is given back, and a look-up replaces one that died
        // since: no test before each look-up, which would double its round trips.
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |_, connection| {
                let keeps = keeper.keeps(connection.age);
                Box::pin(async move { Ok(keeps) })
            })
            .connect_lazy_with(url.options);
        let _ = connection.close().await;
        let connections = Connections::new(pool, authority, tables);
        Ok(PostgresStore(Arc::new(connections)))
    }

    /// Brings the schema to the version that this crate reads, and says how many migrations that
    /// took.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::migrate`].
    pub async fn migrate(&self, url: &str) -> Result<u32, StoreError> {
        let url = url::parse(url)?;
        let mut connection = self.one(&url.options).await?;
        given(&mut connection, &url).await?;
        let applied = schema::migrate(&mut connection, self.schema.as_deref()).await?;
        let _ = connection.close().await;
        Ok(applied)
    }

    /// A connection of its own, whose failure says more than a pool's.
    async fn one(&self, url: &PgConnectOptions) -> Result<PgConnection, StoreError> {
        let connect = async { url.connect().await.map_err(|error| failed(&error)) };
        in_time(self.acquire_timeout, connect).await
    }

    /// The tables as a connection finds them, if they are this crate's and the server counts.
    async fn checked(
        &self,
        url: &Url,
        connection: &mut PgConnection,
    ) -> Result<Arc<Tables>, StoreError> {
        given(connection, url).await?;
        let tables = schema::locate(connection, self.schema.as_deref()).await?;
        Ok(Arc::new(tables))
    }
}

/// Refuses a pooler that passes over what the URL sets: another schema is another store.
async fn given(connection: &mut PgConnection, url: &Url) -> Result<(), StoreError> {
    let Some(wanted) = &url.search_path else {
        return Ok(());
    };
    let shown = sqlx::raw_sql("SHOW search_path")
        .fetch_one(connection)
        .await;
    let shown = shown.map_err(|error| failed(&error))?;
    let shown: &str = column(&shown, 0)?;
    let plain = |path: &str| path.replace([' ', '"'], "");
    if plain(shown) == plain(wanted) {
        return Ok(());
    }
    let advice = "name the schema with PostgresOptions::schema: the pooler passes over the URL's \
                  options[search_path]";
    Err(because(StoreErrorKind::Unavailable, advice))
}
