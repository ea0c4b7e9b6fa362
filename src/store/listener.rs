//! Who hears of changes.

use crate::key::KeyId;

/// Hears of keys that have changed, by whatever process. The watches of a ring are one, and look at these keys.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use tower_api_key::{KeyId, store::ChangeListener};
///
/// #[derive(Default)]
/// struct Changed(Mutex<Vec<KeyId>>);
///
/// impl ChangeListener for Changed {
///     fn changed(&self, ids: &[KeyId]) {
///         self.0.lock().unwrap().extend(ids);
///     }
/// }
/// ```
pub trait ChangeListener: Send + Sync {
    /// These keys may have changed, or are gone. It must not block.
    fn changed(&self, ids: &[KeyId]);
}
