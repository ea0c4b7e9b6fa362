//! The observer that was set.

#[cfg(feature = "metrics")]
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use super::event::Event;
#[cfg(feature = "metrics")]
use super::metrics::MetricsObserver;
use super::observer::{Observer, tell};

/// The observer that was set, if one was.
#[derive(Clone, Default)]
pub(crate) struct Observed {
    observer: Option<Arc<dyn Observer>>,
    reads_keys: bool,
}

impl Observed {
    pub(crate) fn by<O: Observer>(observer: O) -> Self {
        // Counters have no labels of keys. Any other observer may read whose key it was.
        #[cfg(feature = "metrics")]
        let reads_keys = TypeId::of::<O>() != TypeId::of::<MetricsObserver>();
        #[cfg(not(feature = "metrics"))]
        let reads_keys = true;
        Self {
            observer: Some(Arc::new(observer)),
            reads_keys,
        }
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.observer.is_some()
    }

    /// Whether an event of a request has to say whose key it was.
    pub(crate) fn reads_keys(&self) -> bool {
        self.reads_keys
    }

    /// The two observers as one.
    pub(crate) fn and(&self, other: &Self) -> Self {
        match (&self.observer, &other.observer) {
            (Some(first), Some(second)) => Self {
                observer: Some(Arc::new((Arc::clone(first), Arc::clone(second)))),
                reads_keys: self.reads_keys || other.reads_keys,
            },
            (Some(_), None) => self.clone(),
            (None, _) => other.clone(),
        }
    }

    /// Tells the observer, if there is one. Without, it costs one comparison.
    #[inline]
    pub(crate) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &self.observer {
            tell(&**observer, event());
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "set" } else { "none" })
    }
}
