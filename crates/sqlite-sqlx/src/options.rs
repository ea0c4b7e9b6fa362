//! The settings of a store.

use std::sync::Arc;

use sqlx::sqlite::SqlitePool;
use tower_api_key::store::StoreError;

use super::SqlxSqliteStore;
use super::connection::Connections;
use super::place::Place;
use super::schema;
use super::settings::{Durability, path};

/// How a [`SqlxSqliteStore`] uses a pool. The settings of the connections are those of the pool itself.
///
/// ```
/// use tower_api_key_sqlite_sqlx::SqlxSqliteOptions;
/// use tower_api_key_sqlite_sqlx::sqlx::sqlite::SqlitePool;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = SqlitePool::connect("sqlite::memory:").await?;
/// let options = SqlxSqliteOptions::new();
/// options.migrate(&pool).await?;
/// let store = options.with_pool(pool).await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqlxSqliteOptions {
    durability: Durability,
}

impl SqlxSqliteOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            durability: Durability::Full,
        }
    }

    /// Accepts a pool whose commits return before they are on the disk, such as one with
    /// `SqliteSynchronous::Normal`. A power failure may undo the last of them, so that a key that was revoked works
    /// again. The end of the process undoes none.
    #[must_use]
    pub fn danger_lose_commits_at_power_failure(mut self) -> Self {
        self.durability = Durability::LosesCommits;
        self
    }

    /// As [`SqlxSqliteStore::migrate`].
    ///
    /// # Errors
    ///
    /// As [`SqlxSqliteStore::migrate`].
    pub async fn migrate(&self, pool: &SqlitePool) -> Result<u32, StoreError> {
        let place = place(pool).await?;
        schema::migrate(pool, &place, self.durability).await
    }

    /// As [`SqlxSqliteStore::from_pool`].
    ///
    /// # Errors
    ///
    /// As [`SqlxSqliteStore::from_pool`].
    pub async fn with_pool(&self, pool: SqlitePool) -> Result<SqlxSqliteStore, StoreError> {
        let place = place(&pool).await?;
        let connections = Connections::new(pool, place, self.durability);
        connections.check().await?;
        Ok(SqlxSqliteStore(Arc::new(connections)))
    }
}

impl Default for SqlxSqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

async fn place(pool: &SqlitePool) -> Result<Place, StoreError> {
    // A database that cannot be asked has no name.
    let unnamed = Place::new("");
    let mut connection = pool.acquire().await.map_err(|error| unnamed.sqlx(error))?;
    let path = path(&mut connection, &unnamed).await?;
    let place = Place::new(&path);
    place.require_one_name()?;
    Ok(place)
}
