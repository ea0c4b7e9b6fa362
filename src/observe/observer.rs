//! Who hears of events.

use std::fmt;
use std::sync::Arc;

use super::event::Event;
use crate::support::caught::caught;

/// Receives every [`Event`] of a ring, of a layer, or of both.
///
/// It is called on the request path and must not block: count, or pass the event to a channel that drops
/// events when it is full. A panic in it is caught and changes no verdict.
///
/// A change is reported once the store has confirmed it, so that one
/// [in doubt](crate::KeyRing#when-a-change-is-in-doubt) is not reported.
///
/// Every `Fn(&Event<'_>)` is one:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use tower_api_key::{Event, EventKind, Grant, KeyRing, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let issued = Arc::new(AtomicU64::new(0));
/// let counter = Arc::clone(&issued);
/// let ring = KeyRing::builder("acme")
///     .observer(move |event: &Event<'_>| {
///         if event.kind() == EventKind::Issued {
///             counter.fetch_add(1, Ordering::Relaxed);
///         }
///     })
///     .build(MemoryStore::new())?;
/// ring.issue(Grant::new("alice")).await?;
/// assert_eq!(issued.load(Ordering::Relaxed), 1);
/// # Ok::<(), tower_api_key::Error>(())
/// # }).unwrap();
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Takes note of an event.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

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
            (Some(first), Some(second)) => {
                let both = [Arc::clone(first), Arc::clone(second)];
                Self::by(move |event: &Event<'_>| {
                    for observer in &both {
                        tell(&**observer, *event);
                    }
                })
            }
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

#[cold]
fn tell(observer: &dyn Observer, event: Event<'_>) {
    // Whatever becomes of the observer, the verdict stands.
    caught(|| observer.observe(&event));
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}
