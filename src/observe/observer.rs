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
/// [`observer_fn`] makes one of a closure. A pair of observers is one too, and both hear of every event,
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

/// Makes an observer of a closure.
///
/// ```
/// use tower_api_key::{KeyRing, observer_fn, store::MemoryStore};
///
/// let log = observer_fn(|event| println!("{}", event.kind().as_str()));
/// let count = observer_fn(|_| {});
/// let ring = KeyRing::builder("acme").observer((log, count)).build(MemoryStore::new())?;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
pub fn observer_fn<F>(observe: F) -> ObserverFn<F>
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    ObserverFn(observe)
}

/// A closure as an [`Observer`], from [`observer_fn`].
#[derive(Clone, Copy)]
pub struct ObserverFn<F>(F);

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for ObserverFn<F> {
    fn observe(&self, event: &Event<'_>) {
        (self.0)(event);
    }
}

impl<F> fmt::Debug for ObserverFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObserverFn(…)")
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
