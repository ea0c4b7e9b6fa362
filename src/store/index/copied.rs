//! What a copy of a database needs of its index, beyond what requests do.

use std::sync::Arc;

use super::by_digest::ByDigest;
use super::{Index, next};
use crate::key::digest::KeyDigest;
use crate::record::KeyRecord;

impl Index {
    /// The record of a digest, of any realm, whether the index is fresh or not. No verdict may rest on it.
    pub(crate) fn held(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let by_digest = self.0.by_digest.pin();
        let held = by_digest.get_key_value(digest);
        held.map(|(ByDigest(held), ())| Arc::clone(held))
    }

    /// Removes the record of a digest, of any realm and version, and returns it.
    pub(crate) fn take(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let _pool = self.pool();
        let by_digest = self.0.by_digest.pin();
        let taken = by_digest.remove_entry(digest);
        taken.map(|(ByDigest(taken), ())| Arc::clone(taken))
    }

    /// The record that would be there if this one was [put](Self::put). Nothing is put.
    pub(crate) fn met(&self, record: Arc<KeyRecord>) -> Arc<KeyRecord> {
        match self.held(record.digest()) {
            Some(held) => next(&held, record).unwrap_or(held),
            None => record,
        }
    }

    /// The digests of this kind of all records, in no order.
    pub(crate) fn digests(&self, is_asked: impl Fn(&KeyDigest) -> bool) -> Vec<KeyDigest> {
        let by_digest = self.0.by_digest.pin();
        let digests = by_digest.keys().map(|ByDigest(record)| record.digest());
        digests.filter(|digest| is_asked(digest)).copied().collect()
    }

    /// All records, in no order. If there is one writer, that is their state at one moment.
    pub(crate) fn records(&self) -> Vec<Arc<KeyRecord>> {
        let by_digest = self.0.by_digest.pin();
        let records = by_digest.keys().map(|ByDigest(record)| Arc::clone(record));
        records.collect()
    }
}
