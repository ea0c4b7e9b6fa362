//! A record as a verdict holds it.

use std::any::Any;
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
    /// With what the application knows of the owner.
    Owned(Arc<Owned>),
}

/// The record of a key, and its owner.
pub(crate) struct Owned {
    record: Arc<KeyRecord>,
    principal: Arc<dyn Any + Send + Sync>,
}

impl Held {
    pub(crate) fn into_record(self) -> Arc<KeyRecord> {
        match self {
            Self::Shared(record) => record,
            Self::Hot(record) => Arc::clone(&record.0),
            Self::Owned(owned) => Arc::clone(&owned.record),
        }
    }

    pub(crate) fn with_principal(self, principal: Arc<dyn Any + Send + Sync>) -> Self {
        Self::Owned(Arc::new(Owned {
            record: self.into_record(),
            principal,
        }))
    }

    pub(crate) fn principal(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        match self {
            Self::Owned(owned) => Some(&owned.principal),
            Self::Shared(_) | Self::Hot(_) => None,
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
            Self::Owned(owned) => &owned.record,
        }
    }
}

impl From<Arc<KeyRecord>> for Held {
    #[inline]
    fn from(record: Arc<KeyRecord>) -> Self {
        Self::Shared(record)
    }
}
