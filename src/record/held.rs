//! A record as a verdict holds it.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use super::KeyRecord;
use super::notes::Notes;
use crate::support::apart::Apart;

/// A record that a look-up in memory found.
#[derive(Clone)]
pub(crate) enum Held {
    /// Counted for all threads together.
    Shared(Arc<KeyRecord>),
    /// Counted for the thread that found it: threads that serve one key at once do not write one count.
    Hot(Arc<Apart<Arc<KeyRecord>>>),
    /// With what few rings add to a record.
    Owned(Arc<Owned>),
}

/// The record of a key, what the application knows of its owner, and the notes on its uses.
pub(crate) struct Owned {
    record: Arc<KeyRecord>,
    principal: Option<Arc<dyn Any + Send + Sync>>,
    notes: Option<Arc<Notes>>,
}

impl Owned {
    pub(crate) fn noted(record: Arc<KeyRecord>, notes: Arc<Notes>) -> Self {
        Self {
            record,
            principal: None,
            notes: Some(notes),
        }
    }

    pub(crate) fn notes(&self) -> Option<&Arc<Notes>> {
        self.notes.as_ref()
    }

    /// Whether it is this very record, and nothing is known of its owner.
    pub(crate) fn is_of(&self, record: &KeyRecord) -> bool {
        std::ptr::eq(&raw const *self.record, record) && self.principal.is_none()
    }
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
            notes: self.notes().cloned(),
            record: self.into_record(),
            principal: Some(principal),
        }))
    }

    pub(crate) fn with_notes(self, notes: Arc<Notes>) -> Self {
        Self::Owned(Arc::new(Owned {
            principal: self.principal().cloned(),
            record: self.into_record(),
            notes: Some(notes),
        }))
    }

    pub(crate) fn principal(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        match self {
            Self::Owned(owned) => owned.principal.as_ref(),
            Self::Shared(_) | Self::Hot(_) => None,
        }
    }

    /// The notes on the uses of the key, if its ring takes any.
    #[inline]
    pub(crate) fn notes(&self) -> Option<&Arc<Notes>> {
        match self {
            Self::Owned(owned) => owned.notes.as_ref(),
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
