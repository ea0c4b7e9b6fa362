//! A record that a revocation ended.

use crate::key::KeyId;

/// A record that a revocation ended, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ended {
    /// Its id; `None` if the value in the store is not one.
    pub id: Option<KeyId>,
    /// Its subject; `None` if the value in the store is no text.
    pub subject: Option<String>,
}
