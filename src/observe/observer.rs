//! Who hears of events.

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
/// [`observer_fn`](crate::observer_fn) makes one of a closure. A pair of observers is one too, and both hear of every event,
/// even if the first panics. So is an observer in an `Arc` or a `Box`:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use tower_api_key::{EventKind, Grant, KeyRing, observer_fn, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let issued = Arc::new(AtomicU64::new(0));
/// let counter = Arc::clone(&issued);
/// let ring = KeyRing::builder("acme")
///     .observer(observer_fn(move |event| {
///         if event.kind() == EventKind::Issued {
///             counter.fetch_add(1, Ordering::Relaxed);
///         }
///     }))
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

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: &Event<'_>) {
        (**self).observe(event);
    }
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn observe(&self, event: &Event<'_>) {
        (**self).observe(event);
    }
}

/// Both, the first one first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn observe(&self, event: &Event<'_>) {
        tell(&self.0, *event);
        tell(&self.1, *event);
    }
}

/// Tells an observer of an event.
#[cold]
pub(super) fn tell(observer: &dyn Observer, event: Event<'_>) {
    // Whatever becomes of the observer, the verdict stands.
    let taken = caught(|| observer.observe(&event));
    #[cfg(feature = "metrics")]
    if taken.is_none() {
        super::dropped::count(&event);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = taken;
}
