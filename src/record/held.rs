//! A record as a verdict holds it.

use std::ops::Deref;
use std::sync::Arc;

use super::KeyRecord;
use crate::support::apart::Apart;

/// A record that a look-up in memory found.
#[derive(Clone)]
pub(crate) enum Held {
    /// Counted for all threads together.
    Shared(Arc<KeyRecord>),
    /// Counted for the thread that found it: threads that serve one key at once do not write one count.
    Hot(Arc<Apart<Arc<KeyRecord>>>),
}

impl Held {
    pub(crate) fn into_record(self) -> Arc<KeyRecord> {
        match self {
            Self::Shared(record) => record,
            Self::Hot(record) => Arc::clone(&record.0),
        }
    }
}

impl Deref for Held {
    type Target = KeyRecord;

    #[inline]
    fn deref(&self) -> &KeyRecord {
        match self {
            Self::Shared(record) => record,
            Self::Hot(record) => &record.0,
        }
    }
}

impl From<Arc<KeyRecord>> for Held {
    #[inline]
    fn from(record: Arc<KeyRecord>) -> Self {
        Self::Shared(record)
    }
}
