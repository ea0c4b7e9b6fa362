//! Records in memory that requests read.

mod asked;
mod by_digest;
#[cfg(feature = "replica")]
mod copied;
mod freshness;
mod hot;
mod proof;

use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

pub use self::asked::Asked;
use self::by_digest::{ByDigest, DigestHasher};
pub use self::freshness::Freshness;
pub(crate) use self::proof::Proof;
use crate::access::realm::Realm;
use crate::key::digest::KeyDigest;
use crate::record::{Gain, Held, KeyRecord, Pool, Revocation, RevocationReason};
use crate::support::apart::Apart;
use crate::support::sync::{HashMap, Mutex, MutexGuard, PoisonError, free_replaced, map};

/// Records in memory by digest, with the proof that they may be believed.
///
/// A store that has all its records in memory returns one from [`KeyStore::index`](super::KeyStore::index).
/// The ring then reads it directly while it is [fresh](Freshness), without a virtual call, a box or a lock, and
/// asks the store when it is not. Clones share the records.
///
/// ```
/// use tower_api_key::store::{Freshness, Index};
/// use tower_api_key::{KeyDigest, KeyId, KeyRecord, KeyRecordParts, Realm, Timestamp};
///
/// let id: KeyId = "4f9A7YqZr01m".parse()?;
/// let (realm, digest) = (Realm::new("acme")?, KeyDigest::sha256(b"a key"));
/// let parts = KeyRecordParts::new(id, realm.clone(), digest, "alice".parse()?, Timestamp::from_unix(9));
/// let record = KeyRecord::from(parts);
///
/// let index = Index::new(Freshness::always());
/// index.put(record.clone());
/// let found = index.find(&realm, &digest).expect("it is fresh");
/// assert_eq!(found.as_deref(), Some(&record));
///
/// let stale = Index::new(Freshness::leased());
/// stale.put(record);
/// assert!(stale.find(&realm, &digest).is_none(), "it never answers");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    freshness: Freshness,
    by_digest: HashMap<ByDigest, (), BuildHasherDefault<DigestHasher>>,
    /// What the records share. Holding the lock is the right to write.
    pool: Apart<Mutex<Pool>>,
}

/// With how many new records the tables are freed that the index has outgrown.
const FREED_EACH: usize = 4_096;

impl Index {
    /// An empty index.
    pub fn new(freshness: Freshness) -> Self {
        Self(Arc::new(Inner {
            freshness,
            by_digest: map(),
            pool: Apart::default(),
        }))
    }

    /// The record of a digest in a realm, or that there is none. `None` if the index is not fresh: nothing
    /// is known then.
    pub fn find(&self, realm: &Realm, digest: &KeyDigest) -> Option<Option<Arc<KeyRecord>>> {
        let proof = self.proof()?;
        Some(self.look_up(&proof, realm, digest).map(Held::into_record))
    }

    /// What a verdict needs before it [looks up](Self::look_up). `None`: it is not fresh, so nothing is known.
    #[inline]
    pub(crate) fn proof(&self) -> Option<Proof> {
        self.0.freshness.proof()
    }

    /// The same for a verdict, which counts its reference where the fewest threads do.
    #[inline]
    pub(crate) fn look_up(&self, _: &Proof, realm: &Realm, digest: &KeyDigest) -> Option<Held> {
        let by_digest = self.0.by_digest.pin();
        let (ByDigest(record), ()) = by_digest.get_key_value(digest)?;
        (record.realm() == realm).then(|| hot::held(record))
    }

    /// A realm as the records of the index have it, now and later.
    pub(crate) fn realm(&self, realm: Realm) -> Realm {
        self.pool().realm(realm)
    }

    /// Until when the index may be believed.
    pub fn freshness(&self) -> &Freshness {
        &self.0.freshness
    }

    /// Puts a record in the place of an earlier version, in one step: no look-up finds a gap.
    ///
    /// A key of the index never gains authority, because an answer of a database may come late, and a database
    /// may have gone back. So the record of the higher version counts with the authority that
    /// [both have](KeyRecord::meet), the one that is there and the one that is put. If another key with this
    /// digest is there, it stays: [remove](Self::remove) it first. If the one that is put is revoked, so is the
    /// one that stays, because they have one secret.
    pub fn put(&self, record: impl Into<Arc<KeyRecord>>) {
        self.hold(record.into());
    }

    /// [Puts](Self::put) a record, and returns the one that is there then.
    pub(crate) fn hold(&self, record: Arc<KeyRecord>) -> Arc<KeyRecord> {
        let mut pool = self.pool();
        let by_digest = self.0.by_digest.pin();
        let next = match by_digest.get_key_value(record.digest()) {
            Some((ByDigest(held), ())) => match next(held, record) {
                Some(next) => next,
                None => return Arc::clone(held),
            },
            None => record,
        };
        // A look-up reads the entry of the map and then the record. Allocated one after the other, they are most often in
        // one page of memory: apart, a request over a million keys takes a quarter longer.
        let next = pool.share(&next);
        let is_new = by_digest.insert(ByDigest(Arc::clone(&next)), ()).is_none();
        if is_new && by_digest.len().is_multiple_of(FREED_EACH) {
            free_replaced(&self.0.by_digest);
        }
        // The record is the map's key, and an insertion over an equal key replaces the whole entry. If a later
        // version of the map kept the key that is there, no revocation would arrive: then the key goes first.
        let there = by_digest.get_key_value(next.digest());
        if !there.is_some_and(|(ByDigest(there), ())| Arc::ptr_eq(there, &next)) {
            by_digest.remove(next.digest());
            by_digest.insert(ByDigest(Arc::clone(&next)), ());
        }
        next
    }

    /// Removes the record of a digest, if it is at this version or an earlier one. Returns whether there was
    /// one. Nothing is left of it: an answer from before, which comes late, would be put back.
    pub fn remove(&self, digest: &KeyDigest, version: u64) -> bool {
        let _pool = self.pool();
        let by_digest = self.0.by_digest.pin();
        let held = by_digest.get_key_value(digest);
        held.is_some_and(|(ByDigest(held), ())| held.version() <= version)
            && by_digest.remove(digest).is_some()
    }

    /// Writers take turns. A map that decides within its own step (papaya's `compute`) does not finish a
    /// table that grows, and every look-up then reads two.
    fn pool(&self) -> MutexGuard<'_, Pool> {
        let pool = &self.0.pool.0;
        pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it holds a record of this digest, of any realm.
    pub fn contains(&self, digest: &KeyDigest) -> bool {
        self.0.by_digest.pin().contains_key(digest)
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.0.by_digest.len()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.0.by_digest.is_empty()
    }
}

/// The record that takes the place of the one that is held, if another one does.
fn next(held: &Arc<KeyRecord>, record: Arc<KeyRecord>) -> Option<Arc<KeyRecord>> {
    let gain = record.gain_over(held);
    let is_late = record.version() < held.version();
    if gain.is_some_and(Gain::is_another_key) {
        let ends = record.revocation().is_some() && held.revocation().is_none();
        return ends.then(|| Arc::new(ended(held)));
    }
    if is_late && held.is_within(&record) {
        return None;
    }
    if gain.is_none() && !is_late {
        return Some(record);
    }
    let (newer, older) = if is_late {
        (&**held, &*record)
    } else {
        (&*record, &**held)
    };
    Some(Arc::new(newer.meet(older).unwrap_or_else(|| ended(newer))))
}

/// If no set can hold the caveats of both, or the secret was revoked as that of another key, no request may pass.
fn ended(record: &KeyRecord) -> KeyRecord {
    let mut parts = record.to_parts();
    parts.revocation = Some(Revocation::new(
        record.issued_at(),
        RevocationReason::Unspecified,
    ));
    parts.into()
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("freshness", &self.0.freshness)
            .field("records", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, shuttle, feature = "replica"))]
mod tests;
