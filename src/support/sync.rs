//! The primitives of the crate's own synchronisation: the standard library's and papaya's, or, in the
//! library's own tests with `--cfg shuttle`, those of a scheduler that tries the interleavings.

#[cfg(not(all(test, shuttle)))]
pub(crate) use papaya::HashMap;
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(crate) use stand_in::HashMap;

/// A map with the operations of papaya's that the crate's own protocols rest on, each one step.
#[cfg(all(test, shuttle))]
mod stand_in {
    use std::marker::PhantomData;

    use papaya::Equivalent;

    use super::{Mutex, MutexGuard, PoisonError};

    /// Nothing is ever freed, as papaya frees nothing that a pinned thread may still see.
    #[derive(Debug)]
    pub(crate) struct HashMap<K: 'static, V: 'static, S>(
        Mutex<Vec<&'static (K, V)>>,
        PhantomData<fn() -> S>,
    );

    impl<K, V, S> Default for HashMap<K, V, S> {
        fn default() -> Self {
            Self(Mutex::new(Vec::new()), PhantomData)
        }
    }

    impl<K: Eq, V, S> HashMap<K, V, S> {
        pub(crate) fn pin(&self) -> &Self {
            self
        }

        pub(crate) fn get<Q: Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&'static V> {
            Some(self.get_key_value(key)?.1)
        }

        pub(crate) fn get_key_value<Q: Equivalent<K> + ?Sized>(
            &self,
            key: &Q,
        ) -> Option<(&'static K, &'static V)> {
            let entries = self.entries();
            let entry = entries.iter().find(|(held, _)| key.equivalent(held));
            entry.map(|(key, value)| (key, value))
        }

        pub(crate) fn contains_key<Q: Equivalent<K> + ?Sized>(&self, key: &Q) -> bool {
            self.get_key_value(key).is_some()
        }

        pub(crate) fn insert(&self, key: K, value: V) {
            let mut entries = self.entries();
            entries.retain(|(held, _)| *held != key);
            entries.push(Box::leak(Box::new((key, value))));
        }

        pub(crate) fn try_insert(&self, key: K, value: V) -> Result<(), V> {
            let mut entries = self.entries();
            if entries.iter().any(|(held, _)| *held == key) {
                return Err(value);
            }
            entries.push(Box::leak(Box::new((key, value))));
            Ok(())
        }

        pub(crate) fn remove<Q: Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&'static V> {
            Some(self.remove_entry(key)?.1)
        }

        pub(crate) fn remove_entry<Q: Equivalent<K> + ?Sized>(
            &self,
            key: &Q,
        ) -> Option<(&'static K, &'static V)> {
            let mut entries = self.entries();
            let place = entries.iter().position(|(held, _)| key.equivalent(held))?;
            let (key, value) = entries.remove(place);
            Some((key, value))
        }

        pub(crate) fn keys(&self) -> impl Iterator<Item = &'static K> {
            let keys: Vec<&'static K> = self.entries().iter().map(|(key, _)| key).collect();
            keys.into_iter()
        }

        pub(crate) fn len(&self) -> usize {
            self.entries().len()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        fn entries(&self) -> MutexGuard<'_, Vec<&'static (K, V)>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
