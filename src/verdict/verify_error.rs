//! Why there is no proof.

use std::fmt;
use std::sync::Arc;

use super::{Identity, InvalidCause};
use crate::error::store::StoreError;
use crate::key::KeyId;
use crate::record::KeyRecord;

/// Why presented bytes were not accepted.
///
/// Its `Display` is fit for the presenter. The kind, the id and the source are for logs and audit. The
/// [source](std::error::Error::source) of [`StoreUnavailable`](VerifyErrorKind::StoreUnavailable) is the
/// [`StoreError`], whose own sources name the cause. An invalid key has no source.
#[derive(Clone)]
pub struct VerifyError {
    kind: VerifyErrorKind,
    key: RefusedKey,
    source: Option<Arc<StoreError>>,
}

/// Which key was refused, as far as that is known.
#[derive(Clone)]
enum RefusedKey {
    Nameless,
    /// The presenter says so.
    Named(KeyId),
    Recorded(Arc<KeyRecord>),
}

/// The kind of a [`VerifyError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// The bytes are no valid key of this ring, for a cause that must not reach the presenter.
    Invalid(InvalidCause),
    /// The store failed, panicked or did not answer in time, or too many look-ups wait for it, so
    /// there is no verdict. The error's source says which.
    StoreUnavailable,
}

impl VerifyError {
    pub(crate) const fn invalid(cause: InvalidCause) -> Self {
        Self {
            kind: VerifyErrorKind::Invalid(cause),
            key: RefusedKey::Nameless,
            source: None,
        }
    }

    #[cold]
    pub(crate) fn store_unavailable(source: StoreError) -> Self {
        Self {
            kind: VerifyErrorKind::StoreUnavailable,
            key: RefusedKey::Nameless,
            source: Some(Arc::new(source)),
        }
    }

    /// Adds the record that was judged.
    pub(crate) fn of(mut self, record: Arc<KeyRecord>) -> Self {
        self.key = RefusedKey::Recorded(record);
        self
    }

    /// Adds the id that the presented key names, if no record gave one.
    pub(crate) fn claimed_by(mut self, key_id: impl FnOnce() -> Option<KeyId>) -> Self {
        if matches!(self.key, RefusedKey::Nameless)
            && let Some(key_id) = key_id()
        {
            self.key = RefusedKey::Named(key_id);
        }
        self
    }

    /// The kind of the failure, to match on.
    pub fn kind(&self) -> VerifyErrorKind {
        self.kind
    }

    /// The public id of the key, if the ring has its record: the digest of the presented bytes
    /// has proven it.
    pub fn key_id(&self) -> Option<KeyId> {
        self.identity().proven()
    }

    /// The public id that the presented bytes name, if nothing has proven it: of an unknown key, and
    /// of one that the store gave no verdict on. Ids are public, so the presenter may have made it
    /// up, or name another's key: never revoke by it alone.
    pub fn claimed_key_id(&self) -> Option<KeyId> {
        self.identity().claimed()
    }

    pub(crate) fn identity(&self) -> Identity {
        match &self.key {
            RefusedKey::Nameless => Identity::Unknown,
            RefusedKey::Named(id) => Identity::Claimed(*id),
            RefusedKey::Recorded(record) => Identity::Proven(record.id()),
        }
    }

    /// The store's error, if it gave no verdict.
    pub(crate) fn failure(&self) -> Option<&Arc<StoreError>> {
        self.source.as_ref()
    }

    pub(crate) fn record(&self) -> Option<&KeyRecord> {
        match &self.key {
            RefusedKey::Recorded(record) => Some(record),
            RefusedKey::Nameless | RefusedKey::Named(_) => None,
        }
    }
}

impl PartialEq for VerifyError {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.identity() == other.identity()
    }
}

impl Eq for VerifyError {}

impl fmt::Debug for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyError")
            .field("kind", &self.kind)
            .field("key", &self.identity())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            VerifyErrorKind::Invalid(_) => "invalid API key",
            VerifyErrorKind::StoreUnavailable => "key store unavailable",
        })
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref();
        source.map(|source| source as &(dyn std::error::Error + 'static))
    }
}
