//! Closures as observers.

use std::fmt;

use super::event::Event;
use super::observer::Observer;

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
