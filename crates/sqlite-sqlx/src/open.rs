//! The store with the defaults of its options.

use sqlx::sqlite::SqlitePool;
use tower_api_key::store::StoreError;

use super::SqlxSqliteStore;
use super::options::SqlxSqliteOptions;

impl SqlxSqliteStore {
    /// Makes the tables in the database of a pool, or migrates them to this version, and returns how many migrations that
    /// took. All of them are one transaction.
    ///
    /// # Errors
    ///
    /// - [`Schema`](tower_api_key::store::StoreErrorKind::Schema) if another application has marked the database, if a newer
    ///   version of this crate has migrated it, or if it has tables of the same names;
    /// - [`Unavailable`](tower_api_key::store::StoreErrorKind::Unavailable) for settings that the store refuses, and if the pool
    ///   has no connection;
    /// - [`Busy`](tower_api_key::store::StoreErrorKind::Busy),
    ///   [`ReadOnly`](tower_api_key::store::StoreErrorKind::ReadOnly) and
    ///   [`Corrupt`](tower_api_key::store::StoreErrorKind::Corrupt) as SQLite says.
    ///
    /// The error's source names the database, and gives the remedy in one line.
    pub async fn migrate(pool: &SqlitePool) -> Result<u32, StoreError> {
        SqlxSqliteOptions::new().migrate(pool).await
    }

    /// A store over a pool, whose database has the tables of this version.
    ///
    /// # Errors
    ///
    /// As [`migrate`](Self::migrate). [`Schema`](tower_api_key::store::StoreErrorKind::Schema) too if the tables are missing,
    /// older, or not those of this crate.
    pub async fn from_pool(pool: SqlitePool) -> Result<Self, StoreError> {
        SqlxSqliteOptions::new().with_pool(pool).await
    }
}
