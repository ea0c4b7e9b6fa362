//! What a ring does beside the requests: last uses, and the end of old records.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use super::KeyRing;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::format::KeyId;

/// How long dead records may lie beyond their retention.
const PURGE_INTERVAL: Duration = Duration::from_hours(1);

impl KeyRing {
    /// What a running service does beside its requests, as a future that never ends: it tells the
    /// store the last uses of keys at each
    /// [`upkeep_interval`](crate::RingBuilder::upkeep_interval), and [purges](Self::purge) dead
    /// records once an hour. Failures are tried again at the next turn.
    ///
    /// ```no_run
    /// # use tower_api_key::{KeyRing, store::MemoryStore};
    /// # async fn serve() -> Result<(), tower_api_key::Error> {
    /// let ring = KeyRing::builder("acme").track_last_use().build(MemoryStore::new())?;
    /// tokio::spawn(ring.upkeep());
    /// # Ok(())
    /// # }
    /// ```
    pub fn upkeep(&self) -> impl Future<Output = Infallible> + Send + 'static {
        let ring = self.clone();
        async move {
            let interval = ring.0.upkeep_interval;
            let mut since_purge = PURGE_INTERVAL;
            loop {
                if since_purge >= PURGE_INTERVAL && ring.purge().await.is_ok() {
                    since_purge = Duration::ZERO;
                }
                ring.0.clock.sleep(interval).await;
                since_purge = since_purge.saturating_add(interval);
                // What the store did not take is kept for the next turn.
                let _ = ring.record_uses().await;
            }
        }
    }

    /// Removes the records of keys that have been dead for longer than the ring's
    /// [`retention`](crate::RingBuilder::retention), and says how many there were.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the store failed.
    pub async fn purge(&self) -> Result<u64, Error> {
        let retention = self.0.retention.as_secs();
        let Some(ended_by) = self.0.clock.now().as_unix().checked_sub(retention) else {
            return Ok(0);
        };
        let ended_by = Timestamp::from_unix(ended_by);
        Ok(self.0.store.purge(&self.0.realm, ended_by).await?)
    }

    /// Tells the store the uses that it does not know yet, as [`upkeep`](Self::upkeep) does at
    /// each turn: for the end of a service, so that the last of them are not lost.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the store failed; the uses are kept for
    /// the next time.
    pub async fn record_uses(&self) -> Result<(), Error> {
        let Some(collected) = &self.0.uses else {
            return Ok(());
        };
        let uses = collected.take();
        if uses.is_empty() {
            return Ok(());
        }
        // Given back unless the store took them, also where this future is dropped meanwhile.
        let mut unrecorded = Unrecorded { ring: self, uses };
        self.0
            .store
            .record_uses(&self.0.realm, &unrecorded.uses)
            .await?;
        unrecorded.uses.clear();
        Ok(())
    }

    /// When the store last learned of a use of this key, on a ring that
    /// [tracks](crate::RingBuilder::track_last_use) them; at most an upkeep interval behind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the store failed.
    pub async fn last_used(&self, id: KeyId) -> Result<Option<Timestamp>, Error> {
        let uses = self.0.store.last_uses(&self.0.realm, &[id]).await?;
        Ok(uses.into_iter().next().flatten())
    }
}

/// Uses on their way to the store.
struct Unrecorded<'a> {
    ring: &'a KeyRing,
    uses: Vec<(KeyId, Timestamp)>,
}

impl Drop for Unrecorded<'_> {
    fn drop(&mut self) {
        if let Some(collected) = &self.ring.0.uses {
            for &(id, at) in &self.uses {
                collected.mark(id, at);
            }
        }
    }
}
