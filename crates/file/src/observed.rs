//! The observer of a store, whose panics end with it.

use std::fmt;
use std::sync::Arc;

use tower_api_key::store::caught;
use tower_api_key::{Event, Observer};

/// The observer that was set, if one was.
#[derive(Clone, Default)]
pub(super) struct Observed(Option<Arc<dyn Observer>>);

impl Observed {
    pub(super) fn by(observer: impl Observer) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Passes an event to the observer, if there is one. A panic in it goes no further.
    pub(super) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &self.0 {
            let event = event();
            caught(|| observer.observe(&event));
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}
