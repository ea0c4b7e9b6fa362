//! The notes on the uses of keys, on their way to the store.

use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::last_use::Used;
use crate::access::caveat::Facts;
use crate::access::client_network::ClientNetwork;
use crate::key::KeyId;
use crate::record::notes::{Noted, Notes};
use crate::record::{Held, Owned};
use crate::store::KeyUsage;
use crate::support::mixing::MixingHasher;
use crate::support::sync::{HashMap, Mutex, MutexGuard, PoisonError, map};
use crate::time::Timestamp;

/// What keys were used for since that was last [taken](Self::take).
///
/// A request finds the notes of its key without a lock. It allocates for the first use of a key after they were taken,
/// and if the store makes a record for each look-up.
pub(super) struct Noting {
    noted: Noted,
    keys: HashMap<Used, Arc<Owned>, BuildHasherDefault<MixingHasher>>,
    rest: Mutex<Rest>,
}

/// What requests do not find.
#[derive(Default)]
struct Rest {
    /// Notes that were taken, and that a request may still write.
    taken: Vec<Arc<Owned>>,
    /// What the store did not take.
    unrecorded: BTreeMap<KeyId, KeyUsage>,
}

impl Noting {
    pub(super) fn new(noted: Noted) -> Self {
        Self {
            noted,
            keys: map(),
            rest: Mutex::default(),
        }
    }

    /// Whether the networks of clients are noted.
    pub(super) fn is_of_networks(&self) -> bool {
        self.noted.networks
    }

    /// A record with its notes, for a key that was accepted.
    pub(super) fn note(
        &self,
        record: Held,
        at: impl Fn() -> Timestamp,
        facts: &dyn Fn() -> Facts,
    ) -> Held {
        let keys = self.keys.pin();
        let id = record.id();
        let owned = loop {
            if let Some(owned) = keys.get(&Used(id)) {
                break owned;
            }
            let notes = Notes::new(id, record.scopes(), at(), self.noted);
            let owned = Owned::noted(record.clone().into_record(), Arc::new(notes));
            // Another request may be first. Its notes are those of the key then.
            let _ = keys.try_insert(Used(id), Arc::new(owned));
        };
        let Some(notes) = owned.notes() else {
            return record;
        };
        if self.noted.networks
            && let Some(address) = facts().address()
        {
            notes.come_from(ClientNetwork::of(address));
        }
        if !self.noted.scopes {
            record
        } else if owned.is_of(&record) {
            Held::Owned(Arc::clone(owned))
        } else {
            record.with_notes(Arc::clone(notes))
        }
    }

    /// Takes everything that was noted.
    pub(super) fn take(&self) -> Vec<(KeyId, KeyUsage)> {
        let mut rest = self.rest();
        let mut usages = std::mem::take(&mut rest.unrecorded);
        let mut add = |id, usage: &KeyUsage| usages.entry(id).or_default().add(usage);
        rest.taken.retain_mut(|owned| {
            // Read before: whoever let go of the notes wrote them before that.
            let is_in_use = Arc::get_mut(owned).is_none();
            if let Some(notes) = owned.notes()
                && let Some(usage) = notes.take()
            {
                add(notes.id(), &usage);
            }
            is_in_use
        });
        let keys = self.keys.pin();
        let used: Vec<Used> = keys.keys().copied().collect();
        for key in used {
            if let Some(owned) = keys.remove(&key) {
                if let Some(notes) = owned.notes() {
                    add(notes.id(), &notes.take_first());
                }
                // A request that found the notes before may write them later.
                rest.taken.push(Arc::clone(owned));
            }
        }
        usages.retain(|_, usage| *usage != KeyUsage::new());
        usages.into_iter().collect()
    }

    /// Keeps what the store did not take for the next time.
    pub(super) fn give_back(&self, usages: &[(KeyId, KeyUsage)]) {
        let mut rest = self.rest();
        for (id, usage) in usages {
            rest.unrecorded.entry(*id).or_default().add(usage);
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
