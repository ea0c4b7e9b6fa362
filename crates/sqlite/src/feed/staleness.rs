//! The staleness of all replicas of a file.

use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::replica::STALENESS;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::position;
use crate::SqliteStore;
use crate::write::begin;

impl SqliteStore {
    /// How old the records of a replica of this file may be at the most, in every process: no request is accepted that
    /// began later than this after the revocation of its key was acknowledged. 1 s in a new file.
    ///
    /// A [`Replica`](tower_api_key::replica) with a shorter staleness of its own keeps to that one.
    ///
    /// # Errors
    ///
    /// Those of a look-up.
    pub async fn staleness(&self) -> Result<Duration, StoreError> {
        let head = self.follow(|reading, place, _| position::now(reading, place));
        head.await.map(|(_, head)| head.staleness)
    }

    /// Sets the [`staleness`](Self::staleness) in whole milliseconds. A replica goes by it from its next pull on. If it
    /// is shorter than the former one, the former one is waited for when a change is to be settled, for twenty minutes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key_sqlite::SqliteStore;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = std::env::temp_dir().join(format!("tower-api-key-staleness-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("keys.db");
    /// let store = SqliteStore::open(&path)?;
    /// assert_eq!(store.staleness().await?, Duration::from_secs(1));
    /// store.set_staleness(Duration::from_millis(500)).await?;
    /// assert_eq!(store.staleness().await?, Duration::from_millis(500));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](StoreErrorKind::Unsupported) if it is not from 100 ms to ten minutes, and those of a commit.
    pub async fn set_staleness(&self, staleness: Duration) -> Result<(), StoreError> {
        if !STALENESS.contains(&staleness) {
            let error = "a staleness is from 100 ms to ten minutes";
            return Err(StoreError::new(StoreErrorKind::Unsupported, error));
        }
        let milliseconds = i64::try_from(staleness.as_millis()).unwrap_or(i64::MAX);
        let set = self.write(move |connection, place| {
            let transaction = begin(connection, place)?;
            transaction
                .prepare_cached("UPDATE api_key_feed SET staleness_ms = ?1")
                .and_then(|mut set| set.execute([milliseconds]))
                .map_err(|error| place.sqlite(error))?;
            transaction.commit().map_err(|error| place.sqlite(error))
        });
        set.await
    }
}

/// Gives a file that takes the place of another the shorter staleness of both, and the longest one that a replica may
/// still go by. `None`: it is not known.
pub(crate) fn carry(
    made: &Connection,
    present: Option<&Connection>,
) -> Result<(), rusqlite::Error> {
    let present = present.map(|present| {
        let sql = "SELECT staleness_ms, max(staleness_ms, former_ms) FROM api_key_feed";
        present.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    });
    let longest = i64::try_from(STALENESS.end().as_millis()).unwrap_or(i64::MAX);
    let (staleness, former): (i64, i64) = present.transpose()?.unwrap_or((longest, longest));
    // In this order, because the first statement notes the former staleness of the backup.
    let shorter = "UPDATE api_key_feed SET staleness_ms = min(staleness_ms, ?1)";
    made.execute(shorter, [staleness])?;
    let longer = "UPDATE api_key_feed SET former_ms = max(former_ms, ?1), changed_at = unixepoch()";
    made.execute(longer, [former])?;
    Ok(())
}
