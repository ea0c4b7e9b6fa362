//! The observer that was set.

use std::fmt;
use std::sync::Arc;

use super::event::Event;
use super::observer::{Observer, tell};

/// The observer that was set, if one was.
#[derive(Clone, Default)]
pub(crate) struct Observed(Option<Arc<dyn Observer>>);

impl Observed {
    pub(crate) fn by(observer: impl Observer) -> Self {
        Self(Some(Arc::new(observer)))
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The two observers as one.
    pub(crate) fn and(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (Some(first), Some(second)) => Self::by((Arc::clone(first), Arc::clone(second))),
            (Some(_), None) => self.clone(),
            (None, _) => other.clone(),
        }
    }

    /// Tells the observer, if there is one. Without, it costs one comparison.
    #[inline]
    pub(crate) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &self.0 {
            tell(&**observer, event());
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}
