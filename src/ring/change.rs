//! The common parts of all changes: their input, and how they are applied.

use std::borrow::Cow;
use std::sync::Arc;

use super::KeyRing;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::lifecycle::Change;
use crate::observe::event::{Event, EventKind};
use crate::record::KeyRecord;
use crate::store::{KeyLimit, ListQuery, StoreError, StoreErrorKind};

/// How often a change is computed again if another writer was first.
pub(super) const MAX_ATTEMPTS: usize = 32;

impl KeyRing {
    /// Applies a change and wakes the watches of its keys. Returns false if another writer was first.
    pub(super) async fn commit(&self, change: &Change) -> Result<bool, Error> {
        let change = &*self.signed(change);
        let committed = self.0.store.commit(change).await;
        match committed.as_ref().map_err(StoreError::kind) {
            Err(StoreErrorKind::Conflict) => return Ok(false),
            Err(StoreErrorKind::TooManyKeys) => {
                // Those of a change are all of one ring.
                if let Some(limit) = change.limits().first().map(KeyLimit::most) {
                    return Err(ErrorKind::TooManyKeys { limit }.into());
                }
            }
            _ => {}
        }
        // A store that failed may have lost only its answer: each watch of these keys reads its record.
        self.wake(change);
        committed?;
        Ok(true)
    }

    /// The change with the actor of this ring, unless it has another already.
    fn signed<'c>(&self, change: &'c Change) -> Cow<'c, Change> {
        match (change.actor(), self.actor()) {
            (None, Some(actor)) => Cow::Owned(change.clone().by(Some(actor))),
            _ => Cow::Borrowed(change),
        }
    }

    /// Reports a change that this ring has made.
    pub(super) fn tell<'a>(&'a self, event: impl FnOnce() -> Event<'a>) {
        self.0.observer.tell(|| event().by(self.actor()));
    }

    /// Wakes the watches of the change's keys through this ring.
    pub(super) fn wake(&self, change: &Change) {
        for write in change.writes() {
            self.0.watchers.tell(write.record.id());
        }
    }

    pub(super) fn report_revoked(&self, change: &Change) {
        for write in change.writes() {
            if let Some(revocation) = write.record.revocation() {
                let reason = revocation.reason;
                let kind = EventKind::Revoked { reason };
                let actor = change.actor().or(self.actor());
                let event = || Event::about(kind, &write.record).by(actor);
                self.0.observer.tell(event);
            }
        }
    }

    /// This key and the others of its lineage that are not revoked. Revoked records are not read, so
    /// that a record that cannot be read blocks nothing once it is revoked.
    pub(super) async fn lineage_of(&self, id: KeyId) -> Result<Vec<Arc<KeyRecord>>, Error> {
        let record = self.get(id).await?.ok_or(ErrorKind::NotFound)?;
        if record.revocation().is_some() {
            return Ok(vec![record]);
        }
        let query = ListQuery::new().lineage(record.lineage()).unrevoked();
        let mut lineage = self.list(&query).await?.complete()?;
        if !lineage.iter().any(|record| record.id() == id) {
            // It was revoked in between.
            lineage.push(self.get(id).await?.ok_or(ErrorKind::NotFound)?);
        }
        Ok(lineage)
    }
}
