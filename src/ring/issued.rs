//! A key that was just minted.

use std::sync::Arc;

use crate::key::KeyId;
use crate::key::secret::SecretKey;
use crate::record::KeyRecord;

/// A key that was just minted: its record, and the one sight of its plaintext.
#[derive(Debug)]
pub struct Issued {
    pub(super) secret: SecretKey,
    pub(super) record: Arc<KeyRecord>,
}

impl Issued {
    /// The plaintext key.
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The public id.
    pub fn id(&self) -> KeyId {
        self.record.id()
    }

    /// The record in the store.
    pub fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// Returns the plaintext key by value.
    pub fn into_secret(self) -> SecretKey {
        self.secret
    }
}
