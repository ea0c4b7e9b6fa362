//! Records in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::fmt;
use std::future::ready;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papaya::{Equivalent, HashMap};

use super::{
    BoxFuture, Change, Expected, Found, KeyStore, ListQuery, Lookup, StoreError, StoreErrorKind,
    Write,
};
use crate::digest::KeyDigest;
use crate::format::KeyId;
use crate::realm::Realm;
use crate::record::KeyRecord;

/// A store in memory, for tests, for keys that are imported at start-up, and as the measure of
/// the others. Clones share their records; rings of several realms can share one.
///
/// A look-up takes no lock and writes no cache line that other requests share, but for the
/// reference count of the record. Writers take turns.
///
/// ```
/// use tower_api_key::{KeyRing, store::MemoryStore};
///
/// let store = MemoryStore::new();
/// let orders = KeyRing::builder("acme").realm("orders").build(store.clone())?;
/// let billing = KeyRing::builder("acme").realm("billing").build(store)?;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// What requests read.
    by_digest: HashMap<ByDigest, Arc<KeyRecord>, BuildHasherDefault<DigestHasher>>,
    /// What writers read; holding it is the right to write to both.
    by_id: Mutex<BTreeMap<KeyId, Arc<KeyRecord>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The record of a digest in a realm, without waiting.
    #[inline]
    pub(crate) fn record(&self, realm: &Realm, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let index = self.0.by_digest.pin();
        let record = index.get(digest)?;
        (record.realm() == realm).then(|| Arc::clone(record))
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<KeyId, Arc<KeyRecord>>> {
        // Everything that can be refused is refused before the first write, so a panic
        // elsewhere leaves no half-applied change behind.
        self.0.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let mut records = self.records();
        for (index, write) in change.writes().iter().enumerate() {
            self.check(&records, write)?;
            let earlier = &change.writes()[..index];
            let repeated = earlier.iter().any(|other| {
                other.record.id() == write.record.id()
                    || other.record.digest() == write.record.digest()
            });
            if repeated {
                return Err(StoreErrorKind::Duplicate.into());
            }
        }
        // What dies is dead before what takes its place lives.
        let (new, changed): (Vec<&Write>, Vec<&Write>) = change
            .writes()
            .iter()
            .partition(|write| write.expected == Expected::Absent);
        for write in changed.into_iter().chain(new) {
            let record = Arc::new(write.record.clone());
            records.insert(record.id(), Arc::clone(&record));
            // Swapped in one step: no look-up finds a gap between the two versions.
            self.0
                .by_digest
                .pin()
                .insert(ByDigest(*record.digest()), record);
        }
        Ok(())
    }

    fn check(
        &self,
        records: &BTreeMap<KeyId, Arc<KeyRecord>>,
        write: &Write,
    ) -> Result<(), StoreError> {
        let held = records.get(&write.record.id());
        match (write.expected, held) {
            (Expected::Absent, None)
                if !self.0.by_digest.pin().contains_key(write.record.digest()) =>
            {
                Ok(())
            }
            (Expected::Absent, _) => Err(StoreErrorKind::Duplicate.into()),
            (Expected::Version(version), Some(held))
                if held.version() == version
                    && held.digest() == write.record.digest()
                    && held.realm() == write.record.realm() =>
            {
                Ok(())
            }
            (Expected::Version(_), _) => Err(StoreErrorKind::Conflict.into()),
        }
    }
}

impl KeyStore for MemoryStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        Lookup::Ready(Ok(self.record(realm, digest)))
    }

    fn memory(&self) -> Option<&MemoryStore> {
        Some(self)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(ready(self.apply(change)))
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        let found = self
            .records()
            .get(&id)
            .filter(|record| record.realm() == realm)
            .cloned();
        Box::pin(ready(Ok(found)))
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        let records = self.records();
        let start = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest: Range<'_, KeyId, Arc<KeyRecord>> = records.range((start, Bound::Unbounded));
        let page = rest
            .map(|(_, record)| record)
            .filter(|record| record.realm() == realm && query.matches(record))
            .take(query.limit.unwrap_or(usize::MAX))
            .cloned()
            .collect();
        Box::pin(ready(Ok(page)))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("records", &self.records().len())
            .finish_non_exhaustive()
    }
}

/// A digest as the index compares it: which of two digests is stored is no secret to keep from
/// a presenter who knows neither, and the ring compares what was found in constant time.
#[derive(Clone, Copy)]
struct ByDigest(KeyDigest);

impl PartialEq for ByDigest {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for ByDigest {}

impl Hash for ByDigest {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<ByDigest> for KeyDigest {
    #[inline]
    fn equivalent(&self, key: &ByDigest) -> bool {
        self.as_bytes() == key.0.as_bytes()
    }
}

/// Takes the eight bytes that a digest offers as they are.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    /// A `KeyDigest` hashes itself with one `write_u64`, so this only keeps the trait whole.
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
