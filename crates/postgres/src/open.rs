//! The store with the default settings.

use sqlx::PgPool;
use tower_api_key::store::StoreError;

use super::PostgresStore;
use super::options::PostgresOptions;

impl PostgresStore {
    /// Connects, and checks that the schema is the one that this crate reads. As
    /// [`PostgresOptions::connect`] with the defaults.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`](tower_api_key::store::StoreErrorKind::Unavailable) for a URL that cannot be
    /// read, a server that cannot be reached, a database that does not exist, or a role that is refused.
    /// [`StoreErrorKind::Schema`](tower_api_key::store::StoreErrorKind::Schema) for a schema that is missing, or of
    /// another version. The source of the error gives the remedy, in one line, and never holds the
    /// password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        PostgresOptions::new().connect(url).await
    }

    /// Migrates the schema to the version that this crate reads, and returns how many migrations were
    /// applied. Processes that migrate at the same time take turns.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect). [`StoreErrorKind::Schema`](tower_api_key::store::StoreErrorKind::Schema) only for
    /// a schema that is newer, [`StoreErrorKind::ReadOnly`](tower_api_key::store::StoreErrorKind::ReadOnly) for a role
    /// that may not create tables, or a standby.
    pub async fn migrate(url: &str) -> Result<u32, StoreError> {
        PostgresOptions::new().migrate(url).await
    }

    /// Uses the application's own pool. As [`PostgresOptions::with_pool`] with the defaults.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), except for the URL, which the pool has read.
    pub async fn from_pool(pool: PgPool) -> Result<Self, StoreError> {
        PostgresOptions::new().with_pool(pool).await
    }
}
