//! The result of an import.

use std::sync::Arc;

use crate::record::KeyRecord;

/// The result for a key of [`KeyRing::import_many`](crate::KeyRing::import_many) or
/// [`KeyRing::import_or_get`](crate::KeyRing::import_or_get).
#[derive(Debug, Clone)]
pub struct Imported {
    record: Arc<KeyRecord>,
    was_present: bool,
}

impl Imported {
    pub(crate) fn new(record: Arc<KeyRecord>) -> Self {
        Self {
            record,
            was_present: false,
        }
    }

    pub(crate) fn present(record: Arc<KeyRecord>) -> Self {
        Self {
            record,
            was_present: true,
        }
    }

    /// The record in the store.
    pub fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// Whether the key was there already. It may have ended since it was
    /// imported: see the [state](KeyRecord::state_at) of its record.
    pub fn was_present(&self) -> bool {
        self.was_present
    }
}
