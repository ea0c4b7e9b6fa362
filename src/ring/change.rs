//! The common parts of all changes: their input, and how they are applied.

use std::sync::Arc;

use super::KeyRing;
use crate::access::subject::Subject;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::lifecycle::Change;
use crate::observe::event::{Event, EventKind};
use crate::record::KeyRecord;
use crate::store::{ListQuery, StoreErrorKind};

/// How often a change is computed again if another writer was first.
pub(super) const MAX_ATTEMPTS: usize = 32;

impl KeyRing {
    /// Applies a change and wakes the watches of its keys. Returns false if another writer was first.
    pub(super) async fn commit(&self, change: &Change) -> Result<bool, Error> {
        let committed = self.0.store.commit(change).await;
        if let Err(error) = &committed
            && error.kind() == StoreErrorKind::Conflict
        {
            return Ok(false);
        }
        // A store that failed may have lost only its answer: each watch of these keys reads its record.
        self.wake(change);
        committed?;
        Ok(true)
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
                self.0.observer.tell(|| Event::about(kind, &write.record));
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

    pub(super) async fn keys_of(&self, subject: &Subject) -> Result<Vec<Arc<KeyRecord>>, Error> {
        let query = ListQuery::new().subject(subject.as_str()).unrevoked();
        Ok(self.list(&query).await?.complete()?)
    }

    /// The keys of a subject, if the ring limits their number.
    pub(super) async fn keys_towards_limit(
        &self,
        subject: &Subject,
    ) -> Result<Vec<Arc<KeyRecord>>, Error> {
        match self.0.policy.max_keys_per_subject {
            Some(_) => self.keys_of(subject).await,
            None => Ok(Vec::new()),
        }
    }
}
