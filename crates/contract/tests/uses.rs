//! The last uses of a broken store.

use std::sync::Arc;

use tower_api_key::{KeyId, KeyRecord, Realm, Timestamp};

use super::fault::Fault;
use super::state::State;

/// The state of the key, read some time before a use is written.
pub(super) struct Read {
    record: Arc<KeyRecord>,
    last_use: Option<Timestamp>,
}

impl State {
    pub(super) fn record_uses(&mut self, realm: &Realm, uses: &[(KeyId, Timestamp)]) {
        for &(id, told) in uses {
            if self.fault == Fault::ResurrectsWithAUse
                && let Some(purged) = self.purged.remove(&id)
            {
                self.keys.insert(id, purged);
            }
            let Some(record) = self.get(realm, id) else {
                continue;
            };
            let latest = self.uses.entry(id).or_insert(told);
            *latest = match self.fault {
                Fault::TakesTheUseItWasTold => told,
                _ => told.max(*latest),
            };
            if self.fault == Fault::RaisesTheVersionWithAUse {
                let mut parts = record.to_parts();
                parts.version += 1;
                self.keys.insert(id, Arc::new(parts.into()));
            }
        }
    }

    pub(super) fn last_uses(&self, realm: &Realm, ids: &[KeyId]) -> Vec<Option<Timestamp>> {
        let mut ids = ids.to_vec();
        if self.fault == Fault::AnswersUsesInTheOrderOfIds {
            ids.sort_unstable();
        }
        let of_the_gone = self.fault == Fault::RemembersTheUsesOfThePurged;
        ids.iter()
            .map(|id| {
                let known = of_the_gone || self.get(realm, *id).is_some();
                self.uses.get(id).copied().filter(|_| known)
            })
            .collect()
    }

    /// The state of a key, for [`write_use`](Self::write_use).
    pub(super) fn read_use(&self, realm: &Realm, id: KeyId) -> Option<Read> {
        Some(Read {
            record: self.get(realm, id)?,
            last_use: self.uses.get(&id).copied(),
        })
    }

    /// Records a use of a key that may have changed since it was read.
    pub(super) fn write_use(&mut self, (id, told): (KeyId, Timestamp), read: Read) {
        let held = self.keys.get(&id);
        let is_there = held.is_some();
        if self.fault == Fault::PassesOverChangedRecords && held != Some(&read.record) {
            return;
        }
        let writes_back = match self.fault {
            Fault::WritesRecordsBackWithAUse => is_there,
            Fault::PutsRecordsBackWithAUse => !is_there,
            _ => false,
        };
        if writes_back {
            self.keys.insert(id, read.record);
        }
        let known = match self.fault {
            Fault::ReadsUsesBeforeItLocks => read.last_use,
            _ => self.uses.get(&id).copied(),
        };
        if is_there || writes_back || self.fault == Fault::RecordsUsesOfTheGone {
            self.uses
                .insert(id, known.map_or(told, |known| known.max(told)));
        }
    }
}
