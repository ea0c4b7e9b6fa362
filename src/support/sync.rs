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
pub(crate) use stand_in::{HashMap, free_replaced, map};

/// How many entries a writer copies at once into the larger table of a map that grows: a third of a millisecond, if they are not in
/// the cache. With papaya's own 64 the old table is 99 % full before all of it is copied, and a search in vain passes a hundred entries.
#[cfg(not(all(test, shuttle)))]
const COPIED_AT_ONCE: usize = 1_024;

/// An empty map.
#[cfg(not(all(test, shuttle)))]
pub(crate) fn map<K, V, S: Default>() -> HashMap<K, V, S> {
    let map = HashMap::<K, V>::builder().hasher(S::default());
    map.resize_mode(papaya::ResizeMode::Incremental(COPIED_AT_ONCE))
        .build()
}

/// Frees what this thread has replaced in a map, once no other thread reads it. papaya waits for 32 replacements, and a map that only
/// grows has had no more than twenty tables.
#[cfg(not(all(test, shuttle)))]
pub(crate) fn free_replaced<K, V, S>(map: &HashMap<K, V, S>)
where
    K: std::hash::Hash + Eq,
    S: std::hash::BuildHasher,
{
    use papaya::Guard;

    map.guard().flush();
}

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

    pub(crate) fn map<K, V, S>() -> HashMap<K, V, S> {
        HashMap(Mutex::new(Vec::new()), PhantomData)
    }

    pub(crate) fn free_replaced<K, V, S>(_: &HashMap<K, V, S>) {}

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

        pub(crate) fn insert(&self, key: K, value: V) -> Option<&'static V> {
            let mut entries = self.entries();
            let place = entries.iter().position(|(held, _)| *held == key);
            let replaced = place.map(|place| &entries.remove(place).1);
            entries.push(Box::leak(Box::new((key, value))));
            replaced
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
