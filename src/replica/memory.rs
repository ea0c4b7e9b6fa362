//! The records of a replica.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::{Gain, KeyRecord};
use crate::store::Index;
use crate::support::mixing::MixingHasher;

/// The records of a replica, of which none comes back to life.
pub(crate) struct Memory {
    index: Index,
    /// Holding the lock is the right to write to the index.
    dead: Mutex<Dead>,
}

/// Digests that were held, and are dead for the life of the process.
#[derive(Default)]
struct Dead {
    gone: HashSet<Name, Mixing>,
    /// Those of which an observer heard that the database would revive them.
    told: HashSet<Name, Mixing>,
    /// The digests that came to be held since a roster was made.
    arrived: Option<Vec<KeyDigest>>,
}

/// What is held, by bucket, so that not all of it is gone through to find some of it.
pub(crate) struct Roster(Vec<Vec<Arc<KeyRecord>>>);

impl Dead {
    fn arrived(&mut self, digest: &KeyDigest) {
        if let Some(arrived) = &mut self.arrived {
            arrived.push(*digest);
        }
    }
}

/// The first half of a digest. No two keys share it.
type Name = u128;
type Mixing = BuildHasherDefault<MixingHasher>;

/// What a step has changed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Keys that may be others now.
    pub(crate) ids: Vec<KeyId>,
    /// Keys of which the database has more authority than the replica, which keeps less. Each is reported once.
    pub(crate) diverged: Vec<Arc<KeyRecord>>,
}

impl Memory {
    pub(crate) fn new(index: Index) -> Self {
        Self {
            index,
            dead: Mutex::default(),
        }
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The record of a digest, whether it may be believed or not.
    pub(crate) fn held(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        self.index.held(digest)
    }

    /// What the database has found may be believed this far: what died here is dead. If it has not found a key that
    /// was held *before* it was asked, that key is gone. A key that came meanwhile is not.
    pub(crate) fn met(
        &self,
        realm: &Realm,
        digest: &KeyDigest,
        before: Option<&KeyRecord>,
        found: Option<Arc<KeyRecord>>,
    ) -> Option<Arc<KeyRecord>> {
        let mut dead = self.dead();
        if dead.gone.contains(&name(digest)) {
            return None;
        }
        let held = self.index.held(digest);
        match (found, held) {
            (None, Some(held)) => {
                let was_held = before.is_some_and(|before| is_same_key(before, &held));
                if was_held && held.realm() == realm {
                    self.bury(&mut dead, digest);
                }
                None
            }
            // A later answer could be of an earlier state, so this one is remembered.
            (Some(record), Some(held)) if record.version() > held.version() => {
                Some(self.index.hold(record))
            }
            // A key that was refused here once is remembered, too.
            (Some(record), None) if record.revocation().is_some() => {
                dead.arrived(digest);
                Some(self.index.hold(record))
            }
            (Some(record), _) => Some(self.index.met(record)),
            (None, _) => None,
        }
    }

    fn put(&self, record: Arc<KeyRecord>, changed: &mut Changed) {
        let mut dead = self.dead();
        let name = name(record.digest());
        changed.ids.push(record.id());
        let held = self.index.held(record.digest());
        let is_new = held.is_none();
        let gain = held.and_then(|held| record.gain_over(&held));
        if gain.is_some_and(Gain::is_another_key) {
            // The row of the one that is held is gone, because the other has its digest.
            self.bury(&mut dead, record.digest());
        }
        let is_gone = dead.gone.contains(&name);
        if (is_gone || gain.is_some()) && dead.told.insert(name) {
            changed.diverged.push(Arc::clone(&record));
        }
        if is_gone {
            return;
        }
        if is_new {
            dead.arrived(record.digest());
        }
        self.index.put(record);
    }

    fn remove(&self, digest: &KeyDigest, changed: &mut Changed) {
        let mut dead = self.dead();
        if let Some(taken) = self.bury(&mut dead, digest) {
            changed.ids.push(taken.id());
        }
    }

    /// What was never held is not dead.
    fn bury(&self, dead: &mut Dead, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let taken = self.index.take(digest)?;
        dead.gone.insert(name(digest));
        Some(taken)
    }

    /// From now on until it is [forgotten](Self::forget), what arrives is noted.
    pub(crate) fn roster(&self) -> Roster {
        // Before it is gone through, so that what arrives meanwhile is in one of the two, or in both.
        self.dead().arrived = Some(Vec::new());
        let mut buckets = vec![Vec::new(); 1 << u8::BITS];
        for record in self.index.records() {
            buckets[usize::from(record.digest().as_bytes()[0])].push(record);
        }
        Roster(buckets)
    }

    pub(crate) fn forget(&self, _: Roster) {
        self.dead().arrived = None;
    }

    /// All that is held of these buckets now.
    pub(crate) fn records(
        &self,
        roster: &Roster,
        buckets: &RangeInclusive<u8>,
    ) -> Vec<Arc<KeyRecord>> {
        let arrived = self.arrived_in(buckets);
        let listed = buckets.clone().flat_map(|bucket| {
            let records = roster.0.get(usize::from(bucket));
            records.into_iter().flatten().map(|record| record.digest())
        });
        let listed = listed.filter(|digest| !arrived.contains_key(&name(digest)));
        let digests = listed.chain(arrived.values());
        digests
            .filter_map(|digest| self.index.held(digest))
            .collect()
    }

    /// Copied, so that no look-up waits for the lock while many are looked up.
    fn arrived_in(&self, buckets: &RangeInclusive<u8>) -> HashMap<Name, KeyDigest, Mixing> {
        let dead = self.dead();
        let arrived = dead.arrived.iter().flatten().copied();
        let arrived = arrived.filter(|digest| buckets.contains(&digest.as_bytes()[0]));
        arrived.map(|digest| (name(&digest), digest)).collect()
    }

    #[cfg(test)]
    pub(crate) fn is_gone(&self, digest: &KeyDigest) -> bool {
        self.dead().gone.contains(&name(digest))
    }

    fn dead(&self) -> MutexGuard<'_, Dead> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same_key(one: &KeyRecord, other: &KeyRecord) -> bool {
    !one.gain_over(other).is_some_and(Gain::is_another_key)
}

fn name(digest: &KeyDigest) -> Name {
    let halves = digest.as_bytes().as_chunks::<16>().0;
    halves.first().map_or(0, |half| u128::from_be_bytes(*half))
}

/// The steps of a load and of a pull, up to the one after which all is held.
#[derive(Default)]
pub(crate) struct Steps {
    /// New keys. They come last, so that the key that one takes the place of is dead before.
    loaded: HashMap<Name, Arc<KeyRecord>, Mixing>,
    pulled: Vec<Arc<KeyRecord>>,
    /// What was held of the buckets that are loaded and no page has come to, the last digest first.
    unseen: Vec<KeyDigest>,
}

impl Steps {
    /// Another load begins, maybe of another history.
    pub(crate) fn start_over(&mut self) {
        *self = Self::default();
    }

    /// A pull begins. Of one that failed, nothing is left.
    pub(crate) fn begin(&mut self) {
        self.pulled.clear();
    }

    /// Takes a page of changes, except for what is new.
    pub(crate) fn apply(
        &mut self,
        memory: &Memory,
        records: Vec<Arc<KeyRecord>>,
        gone: &[KeyDigest],
    ) -> Changed {
        let mut changed = Changed::default();
        for digest in gone {
            self.loaded.remove(&name(digest));
            memory.remove(digest, &mut changed);
        }
        let is_held = |record: &Arc<KeyRecord>| memory.index.contains(record.digest());
        let (mut held, new): (Vec<_>, Vec<_>) = records.into_iter().partition(is_held);
        for record in &new {
            self.loaded.remove(&name(record.digest()));
        }
        self.pulled.extend(new);
        held.sort_by_key(|record| record.revocation().is_none());
        for record in held {
            memory.put(record, &mut changed);
        }
        changed
    }

    /// Takes what is new, at the end of a pull.
    pub(crate) fn complete(&mut self, memory: &Memory) -> Changed {
        let mut changed = Changed::default();
        let new = self.loaded.drain().map(|(_, record)| record);
        // Held until all are put, as those of a page of a load.
        let new: Vec<_> = new.chain(self.pulled.drain(..)).collect();
        for record in &new {
            memory.put(Arc::clone(record), &mut changed);
        }
        changed
    }

    /// Begins to load some buckets in the place of what is held.
    pub(crate) fn replace(&mut self, memory: &Memory, buckets: &RangeInclusive<u8>) {
        self.unseen = memory
            .index
            .digests(|digest| buckets.contains(&digest.as_bytes()[0]));
        self.unseen
            .sort_unstable_by(|one, other| other.as_bytes().cmp(one.as_bytes()));
        let is_left = |record: &Arc<KeyRecord>| !buckets.contains(&record.digest().as_bytes()[0]);
        self.loaded.retain(|_, record| is_left(record));
    }

    /// Takes a page of the load, in the order of the digests. What is held and not in it is gone.
    ///
    /// The caller holds the page until all of it is put. The index copies each record next to its entry. If a record were
    /// freed before the next is copied, the copy would take its place, away from the entry.
    pub(crate) fn load(
        &mut self,
        memory: &Memory,
        records: &[Arc<KeyRecord>],
        is_last: bool,
    ) -> Changed {
        let mut changed = Changed::default();
        let is_fresh = memory.index.freshness().is_fresh();
        for record in records {
            let here = record.digest();
            while let Some(unseen) = self.unseen.last()
                && unseen.as_bytes() <= here.as_bytes()
            {
                if unseen != here {
                    memory.remove(unseen, &mut changed);
                }
                self.unseen.pop();
            }
            if is_fresh && !memory.index.contains(here) {
                self.loaded.insert(name(here), Arc::clone(record));
            } else {
                memory.put(Arc::clone(record), &mut changed);
            }
        }
        if is_last {
            for unseen in self.unseen.drain(..) {
                memory.remove(&unseen, &mut changed);
            }
        }
        changed
    }
}
