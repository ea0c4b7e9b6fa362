//! The primitives of the crate's own synchronisation: the standard library's and papaya's, or, in a
//! build with `--cfg shuttle`, those of a scheduler that tries the interleavings.

#[cfg(not(shuttle))]
pub(crate) use papaya::HashMap;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(shuttle)]
pub(crate) use stand_in::HashMap;

/// A map with the operations of papaya's that the crate's own protocols rest on, each one step.
#[cfg(shuttle)]
mod stand_in {
    use std::collections::BTreeMap;
    use std::marker::PhantomData;

    use super::{Mutex, MutexGuard, PoisonError};

    /// Nothing is ever freed, as papaya frees nothing that a pinned thread may still see.
    #[derive(Debug)]
    pub(crate) struct HashMap<K: 'static, V: 'static, S>(
        Mutex<BTreeMap<K, &'static V>>,
        PhantomData<fn() -> S>,
    );

    impl<K: Ord + Copy, V, S> Default for HashMap<K, V, S> {
        fn default() -> Self {
            Self(Mutex::new(BTreeMap::new()), PhantomData)
        }
    }

    impl<K: Ord + Copy, V, S> HashMap<K, V, S> {
        pub(crate) fn pin(&self) -> &Self {
            self
        }

        pub(crate) fn get(&self, key: &K) -> Option<&'static V> {
            self.map().get(key).copied()
        }

        pub(crate) fn try_insert(&self, key: K, value: V) -> Result<(), V> {
            let mut map = self.map();
            if map.contains_key(&key) {
                return Err(value);
            }
            map.insert(key, Box::leak(Box::new(value)));
            Ok(())
        }

        pub(crate) fn remove(&self, key: &K) -> Option<&'static V> {
            self.map().remove(key)
        }

        pub(crate) fn keys(&self) -> impl Iterator<Item = &'static K> {
            let keys: Vec<K> = self.map().keys().copied().collect();
            keys.into_iter().map(|key| &*Box::leak(Box::new(key)))
        }

        fn map(&self) -> MutexGuard<'_, BTreeMap<K, &'static V>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
