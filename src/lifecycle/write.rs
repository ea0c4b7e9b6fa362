//! One record of a change.

use std::sync::Arc;

use super::Expected;
use crate::record::{KeyRecord, KeyRecordParts, Revocation, RevocationReason};
use crate::time::Timestamp;

/// One record to put, and the expected state of its place before.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Write {
    /// The record as it shall be.
    pub record: Arc<KeyRecord>,
    /// The state that the store must find under its id for the change to apply.
    pub expected: Expected,
    describes: bool,
}

impl Write {
    /// A new record: its id and its digest are in no other.
    pub fn new(record: impl Into<Arc<KeyRecord>>) -> Self {
        Self {
            record: record.into(),
            expected: Expected::Absent,
            describes: true,
        }
    }

    /// The next version of a record. Its version is set after the edit, one above that of the record.
    pub fn next(record: &KeyRecord, edit: impl FnOnce(&mut KeyRecordParts)) -> Self {
        let mut parts = record.to_parts();
        edit(&mut parts);
        parts.version = record.version().saturating_add(1);
        Self {
            describes: parts.label.as_ref() != record.label()
                || parts.metadata != *record.metadata(),
            record: parts.into(),
            expected: Expected::Version(record.version()),
        }
    }

    /// The next version of a record, revoked at this time.
    ///
    /// To revoke keys whatever other writers do, call [`KeyStore::revoke`](crate::store::KeyStore::revoke):
    /// this write fails as a conflict if the record has changed.
    pub fn revoked(record: &KeyRecord, reason: RevocationReason, now: Timestamp) -> Self {
        Self::next(record, |parts| {
            parts.revocation = Some(Revocation::new(now, reason));
        })
    }

    /// Whether it sets the label or the metadata to other ones. If it does not, a store leaves them as they are: a
    /// text that another hand has written may be in another form, and would else change with the authority.
    pub const fn describes(&self) -> bool {
        self.describes
    }
}
