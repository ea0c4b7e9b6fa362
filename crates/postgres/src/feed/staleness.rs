//! How old a replica may be.

use std::sync::Arc;
use std::time::Duration;

use tower_api_key::replica::STALENESS;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::read::unfit;
use crate::PostgresStore;
use crate::error::because;
use crate::record::column;
use crate::tables::{SEEN, Tables, seen};
use crate::task::detached;

const READ: &str = concat!(
    "SELECT ",
    seen!("staleness"),
    ", feed.staleness_ms FROM (SELECT 1) AS one LEFT JOIN @.tower_api_key_feed AS feed ON true"
);

const SET: &str = "UPDATE @.tower_api_key_feed SET staleness_ms = $1";

impl PostgresStore {
    /// How old the records of a replica of this database may be at the most: a request is accepted no later than this
    /// after the revocation of its key was acknowledged. The default of a database is five seconds.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use tower_api_key_postgres::PostgresStore;
    ///
    /// # async fn set() -> Result<(), tower_api_key::store::StoreError> {
    /// let store = PostgresStore::connect("postgres://owner@db.internal/keys?sslmode=verify-full").await?;
    /// store.set_staleness(Duration::from_secs(2)).await?;
    /// assert_eq!(store.staleness().await?, Duration::from_secs(2));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the database cannot answer, or its schema has no change feed.
    pub async fn staleness(&self) -> Result<Duration, StoreError> {
        let connections = Arc::clone(&self.0);
        detached(async move {
            let query = |tables: &Tables| tables.query(READ);
            let rows = connections.rows("staleness", query).await?;
            let row = rows.first().ok_or_else(unfit)?;
            let milliseconds: Option<i32> = column(row, SEEN)?;
            let milliseconds = milliseconds.and_then(|it| u64::try_from(it).ok());
            milliseconds.map(Duration::from_millis).ok_or_else(unfit)
        })
        .await
    }

    /// Sets how old the records of a replica may be, from 100 milliseconds to ten minutes, in whole milliseconds.
    /// Replicas go by it from their next question on. One that waits for all replicas still waits for the longer
    /// one before, for twenty minutes.
    ///
    /// The role needs `UPDATE` on `tower_api_key_feed`, which the services do not need.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] for another length of time. Otherwise as [`staleness`](Self::staleness), and
    /// [`StoreErrorKind::ReadOnly`] for a role that may not set it.
    pub async fn set_staleness(&self, staleness: Duration) -> Result<(), StoreError> {
        if !STALENESS.contains(&staleness) {
            let advice = "a staleness is from 100 ms to ten minutes";
            return Err(because(StoreErrorKind::Unsupported, advice));
        }
        // It is in range.
        let milliseconds = i32::try_from(staleness.as_millis()).unwrap_or(i32::MAX);
        let connections = Arc::clone(&self.0);
        detached(async move {
            let set = |tables: &Tables| tables.query(SET).bind(milliseconds);
            match connections.execute(set).await? {
                1 => Ok(()),
                _ => Err(unfit()),
            }
        })
        .await
    }
}
