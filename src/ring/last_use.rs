//! Last uses on their way to the store, collected without a lock.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::key::KeyId;
use crate::record::{KeyRecord, UseStamp};
use crate::support::mixing::MixingHasher;
use crate::support::sync::{AtomicU64, HashMap, Ordering, map};
use crate::time::Timestamp;

/// No use is at this time: the entry was taken out, and a thread that holds it must begin again.
const TAKEN: u64 = u64::MAX;

/// The latest use of each key since the uses were last [taken](Self::take).
///
/// A key that is used often writes its entry once a second. If its record stays in memory, it says itself that it has.
#[derive(Debug)]
pub(crate) struct Uses {
    marks: HashMap<Used, AtomicU64, BuildHasherDefault<MixingHasher>>,
    /// By which the stamps of two rings over one store differ.
    ring: u32,
}

impl Default for Uses {
    fn default() -> Self {
        static RINGS: AtomicU32 = AtomicU32::new(0);
        Self {
            marks: map(),
            ring: RINGS.fetch_add(1, Relaxed),
        }
    }
}

/// A used key. Its id is hashed as two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Used(pub(super) KeyId);

impl Hash for Used {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut words = [0; 2];
        for (word, bytes) in words.iter_mut().zip(self.0.as_bytes().chunks(8)) {
            *word = bytes
                .iter()
                .fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        state.write_u64(words[0]);
        state.write_u64(words[1]);
    }
}

impl Uses {
    /// Remembers a use of the key of a record.
    #[inline]
    pub(crate) fn note(&self, record: &KeyRecord, at: Timestamp) {
        let stamp = UseStamp::new(at, self.ring);
        if !record.flags().is_stamped(stamp) {
            self.note_first(record, at, stamp);
        }
    }

    /// The first use in a second, or one of several at once.
    #[cold]
    fn note_first(&self, record: &KeyRecord, at: Timestamp, stamp: UseStamp) {
        self.mark(record.id(), at);
        // Not before: a thread that finds the stamp relies on the mark.
        record.flags().stamp(stamp);
    }

    /// Remembers a use, unless a later one is known.
    pub(crate) fn mark(&self, id: KeyId, at: Timestamp) {
        let at = at.as_unix().min(TAKEN - 1);
        let uses = self.marks.pin();
        loop {
            match uses.get(&Used(id)) {
                None => {
                    if uses.try_insert(Used(id), AtomicU64::new(at)).is_ok() {
                        return;
                    }
                }
                Some(latest) => match raise(latest, at) {
                    Raised::Done => return,
                    Raised::Taken => {}
                },
            }
        }
    }

    /// Takes all uses out.
    pub(crate) fn take(&self) -> Vec<(KeyId, Timestamp)> {
        let uses = self.marks.pin();
        let keys: Vec<Used> = uses.keys().copied().collect();
        keys.into_iter()
            .filter_map(|key| {
                // Out of the map first: a thread that still finds it there may still raise it.
                let latest = uses.remove(&key)?.swap(TAKEN, Ordering::AcqRel);
                (latest != TAKEN).then_some((key.0, Timestamp::from_unix(latest)))
            })
            .collect()
    }
}

enum Raised {
    Done,
    Taken,
}

fn raise(latest: &AtomicU64, at: u64) -> Raised {
    let mut known = latest.load(Ordering::Relaxed);
    while known != TAKEN {
        if known >= at {
            return Raised::Done;
        }
        match latest.compare_exchange_weak(known, at, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return Raised::Done,
            Err(other) => known = other,
        }
    }
    Raised::Taken
}

#[cfg(test)]
mod tests;
