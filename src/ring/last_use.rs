//! Last uses on their way to the store, collected without a lock.

use crate::key::KeyId;
use crate::support::sync::{AtomicU64, HashMap, Ordering};
use crate::time::Timestamp;

/// No use is at this time: the entry was taken out, and a thread that holds it must begin again.
const TAKEN: u64 = u64::MAX;

/// The latest use of each key since the uses were last [taken](Self::take).
///
/// A key that is used often writes its entry once a second.
#[derive(Debug, Default)]
pub(crate) struct Uses(HashMap<KeyId, AtomicU64>);

impl Uses {
    /// Remembers a use, unless a later one is known.
    pub(crate) fn mark(&self, id: KeyId, at: Timestamp) {
        let at = at.as_unix().min(TAKEN - 1);
        let uses = self.0.pin();
        loop {
            match uses.get(&id) {
                None => {
                    if uses.try_insert(id, AtomicU64::new(at)).is_ok() {
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
        let uses = self.0.pin();
        let ids: Vec<KeyId> = uses.keys().copied().collect();
        ids.into_iter()
            .filter_map(|id| {
                // Out of the map first: a thread that still finds it there may still raise it.
                let latest = uses.remove(&id)?.swap(TAKEN, Ordering::AcqRel);
                (latest != TAKEN).then_some((id, Timestamp::from_unix(latest)))
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
