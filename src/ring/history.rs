//! Who changed which key.

use std::time::Duration;

use super::KeyRing;
use crate::error::Error;
use crate::store::{HistoryPage, HistoryQuery};
use crate::time::Timestamp;

impl KeyRing {
    /// The history of this realm's keys: who changed which key, when and how. It outlives the records of the keys.
    ///
    /// `SqliteStore` and `PostgresStore` write it in the commit of each change, of statements by hand too.
    /// A [`MemoryStore`](crate::store::MemoryStore::with_history) keeps one if it is asked to.
    ///
    /// ```
    /// use tower_api_key::store::{HistoryKind, HistoryQuery, MemoryStore};
    /// use tower_api_key::{Grant, KeyRing, RevocationReason, SystemClock};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = MemoryStore::with_history(SystemClock);
    /// let ring = KeyRing::builder("acme").build(store)?;
    /// let issued = ring.issue(Grant::new("alice").scopes(["read"])).await?;
    /// let ops = ring.acting_as("ops@example.com")?;
    /// ops.revoke(issued.id(), RevocationReason::KeyCompromise).await?;
    ///
    /// // Who revoked that one?
    /// let history = ring.history(&HistoryQuery::new().key(issued.id())).await?;
    /// assert_eq!(history[0].kind(), HistoryKind::Revoked);
    /// assert_eq!(history[0].actor().unwrap(), "ops@example.com");
    /// assert_eq!(history[0].after()["revocation_reason"], "key_compromise");
    ///
    /// assert_eq!(history[1].kind(), HistoryKind::Added);
    /// assert_eq!(history[1].actor(), None);
    /// assert_eq!(history[1].after()["scopes"], "read");
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the store failed, keeps no history
    /// ([`Unsupported`](crate::store::StoreErrorKind::Unsupported)), or cannot promise that the history is whole.
    pub async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, Error> {
        Ok(self.0.store.history(&self.0.realm, query).await?)
    }

    /// Removes the entries of this realm's history that are older than this, in whole seconds, and returns how many
    /// there were. An entry says that they were removed, and by whom. Nothing else removes any.
    ///
    /// In Postgres the role needs `EXECUTE` on `tower_api_key_forget_history`, which only the owner has. By a clock
    /// that fails, and reads [`Timestamp::MAX`], nothing is removed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the store failed, or keeps no history. Some of the entries may
    /// be gone then.
    pub async fn forget_history(&self, older_than: Duration) -> Result<u64, Error> {
        let now = self.0.clock.now();
        let Some(before) = now.as_unix().checked_sub(older_than.as_secs()) else {
            return Ok(0);
        };
        if now == Timestamp::MAX {
            return Ok(0);
        }
        let (store, realm) = (&self.0.store, &self.0.realm);
        let before = Timestamp::from_unix(before);
        Ok(store.forget_history(realm, before, self.actor()).await?)
    }
}
