//! A record that cannot be read.

use crate::key::KeyId;
use crate::store::StoreError;

/// A record that cannot be read. It matches the query, as far as that is known.
#[derive(Debug, Clone)]
pub struct Unreadable {
    id: Option<KeyId>,
    error: StoreError,
}

impl Unreadable {
    /// A record that cannot be read because of this error, with its id, if that is known.
    pub fn new(id: Option<KeyId>, error: StoreError) -> Self {
        Self { id, error }
    }

    /// The id, by which the key can be revoked. `None` if not even that can be read.
    pub fn id(&self) -> Option<KeyId> {
        self.id
    }

    /// Why it cannot be read: the [source](std::error::Error::source) names the column.
    pub fn error(&self) -> &StoreError {
        &self.error
    }

    pub(super) fn into_error(self) -> StoreError {
        self.error
    }
}
