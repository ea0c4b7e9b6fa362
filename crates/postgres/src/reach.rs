//! The source of connections: the store's own URL, or a pool that it borrows.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, PgPool};
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::error::{because, failed};
use super::record::column;
use super::schema;
use super::tables::Tables;
use super::url::Url;

/// The target of new connections, and the place of the tables there.
pub(super) struct Reach {
    target: Target,
    /// The schema that the options name.
    schema: Option<String>,
    /// The `search_path` in the URL, which a pooler may pass over.
    search_path: Option<String>,
}

enum Target {
    Url(Box<PgConnectOptions>),
    /// Its settings may change while it is borrowed, for example a password.
    Pool(PgPool),
}

impl Reach {
    pub(super) fn of_url(url: Url, schema: Option<String>) -> Self {
        Self {
            target: Target::Url(Box::new(url.options)),
            schema,
            search_path: url.search_path,
        }
    }

    pub(super) fn of_pool(pool: PgPool, schema: Option<String>) -> Self {
        Self {
            target: Target::Pool(pool),
            schema,
            search_path: None,
        }
    }

    /// The settings of a connection.
    pub(super) fn settings(&self) -> PgConnectOptions {
        match &self.target {
            Target::Url(options) => PgConnectOptions::clone(options),
            Target::Pool(pool) => PgConnectOptions::clone(&pool.connect_options()),
        }
    }

    /// Opens a separate connection, whose failure says more than a pool's.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let connected = match &self.target {
            Target::Url(options) => options.connect().await,
            Target::Pool(pool) => pool.connect_options().connect().await,
        };
        connected.map_err(|error| failed(&error))
    }

    /// The tables as a connection finds them.
    pub(super) async fn locate(&self, connection: &mut PgConnection) -> Result<Tables, StoreError> {
        self.given(connection).await?;
        schema::locate(connection, self.schema.as_deref()).await
    }

    /// Migrates the schema to the version that this crate reads.
    pub(super) async fn migrate(&self, connection: &mut PgConnection) -> Result<u32, StoreError> {
        self.given(connection).await?;
        schema::migrate(connection, self.schema.as_deref()).await
    }

    /// Refuses a pooler that passes over the URL's settings: another schema is another store.
    async fn given(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Some(wanted) = &self.search_path else {
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
        let advice = "name the schema with PostgresOptions::schema: the pooler ignores the URL's \
                      options[search_path]";
        Err(because(StoreErrorKind::Unavailable, advice))
    }
}
