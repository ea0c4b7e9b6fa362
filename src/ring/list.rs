//! Records of the realm, for people and programs that administer keys.

use std::sync::Arc;

use super::KeyRing;
use crate::error::Error;
use crate::key::KeyId;
use crate::record::{KeyRecord, KeyView};
use crate::store::{ListQuery, Page, StoreErrorKind};
use crate::time::Timestamp;

impl KeyRing {
    /// The record of an id in this realm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the store failed.
    pub async fn get(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Error> {
        Ok(self.0.store.get(&self.0.realm, id).await?)
    }

    /// The records of this realm that the query asks for, in its order. Without a
    /// [limit](ListQuery::limit) that is every one of them at once; in pages:
    ///
    /// ```
    /// use tower_api_key::{Error, KeyRing, store::ListQuery};
    ///
    /// async fn print_all(ring: &KeyRing) -> Result<(), Error> {
    ///     let mut query = ListQuery::new().limit(1_000);
    ///     loop {
    ///         let page = ring.list(&query).await?;
    ///         for record in &page {
    ///             println!("{} {}", record.id(), record.subject());
    ///         }
    ///         for unreadable in page.unreadable() {
    ///             println!("{:?} cannot be read", unreadable.id());
    ///         }
    ///         match page.next() {
    ///             Some(next) => query = query.after(next),
    ///             None => return Ok(()),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// States and durations are judged by one reading of the ring's clock for each page. A key that
    /// is issued meanwhile moves no other to another page.
    ///
    /// A record that cannot be read keeps no other from being listed: it is in
    /// [`Page::unreadable`]. Once it is [revoked](Self::revoke), a list of the
    /// [unrevoked](ListQuery::unrevoked) goes past it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the store failed.
    pub async fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        // A query that needs no time works with any clock: narrowing a key uses it.
        if !query.is_about_time() {
            return Ok(self.0.store.list(&self.0.realm, query).await?);
        }
        let query = query.clone().at(self.0.reading().latest);
        Ok(self.0.store.list(&self.0.realm, &query).await?)
    }

    /// These records as people may see them, each with its last use, judged by the ring's clock. It
    /// is one call of the store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the store failed.
    pub async fn views(&self, records: &[Arc<KeyRecord>]) -> Result<Vec<KeyView>, Error> {
        let uses = self.known_uses(records).await?;
        // A store that keeps none has no use to show.
        let uses = uses.unwrap_or_else(|| vec![None; records.len()]);
        let views = records.iter().zip(uses);
        let views = views.map(|(record, used)| self.view(Arc::clone(record)).last_used(used));
        Ok(views.collect())
    }

    /// The last use of each of these keys, in their order. `None` if the store keeps none.
    pub(super) async fn known_uses(
        &self,
        records: &[Arc<KeyRecord>],
    ) -> Result<Option<Vec<Option<Timestamp>>>, Error> {
        let ids: Vec<KeyId> = records.iter().map(|record| record.id()).collect();
        match self.0.store.last_uses(&self.0.realm, &ids).await {
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(None),
            uses => Ok(Some(uses?)),
        }
    }

    /// The record as people may see it, judged by the ring's clock.
    ///
    /// ```
    /// use tower_api_key::{Grant, KeyRing, KeyView, store::{ListQuery, MemoryStore}};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// ring.issue(Grant::new("alice")).await?;
    /// let listed = ring.list(&ListQuery::new().subject("alice")).await?;
    /// let page: Vec<KeyView> = listed.into_iter().map(|record| ring.view(record)).collect();
    /// assert_eq!(page[0].state_name(), "live");
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn view(&self, record: impl Into<Arc<KeyRecord>>) -> KeyView {
        KeyView::new(record, self.0.reading().latest)
    }
}
