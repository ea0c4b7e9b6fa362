//! A record that a revocation ended.

use crate::key::KeyId;

/// A record that a revocation ended, as far as it could be read.
///
/// ```
/// use tower_api_key::store::Ended;
///
/// let id = "0123456789Ab".parse()?;
/// let ended = Ended::new(Some(id), Some("alice".to_owned()));
/// assert_eq!(ended.id, Some(id));
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Ended {
    /// Its id; `None` if the value in the store is not one.
    pub id: Option<KeyId>,
    /// Its subject; `None` if the value in the store is no text.
    pub subject: Option<String>,
}

impl Ended {
    /// A record with the parts of it that a store could read.
    pub fn new(id: Option<KeyId>, subject: Option<String>) -> Self {
        Self { id, subject }
    }
}
