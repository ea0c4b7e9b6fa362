//! The form of keys that were minted elsewhere.

use std::fmt;
use std::sync::Arc;

use crate::support::caught::caught;

/// Whether a text can be one of the keys, as the application knows.
#[derive(Clone)]
pub(super) struct Form(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Form {
    pub(super) fn new(form: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(form))
    }

    /// A text about which the application's code panics is no key.
    pub(super) fn admits(&self, presented: &[u8]) -> bool {
        std::str::from_utf8(presented)
            .is_ok_and(|text| caught(|| (self.0)(text)).unwrap_or_default())
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("set")
    }
}
