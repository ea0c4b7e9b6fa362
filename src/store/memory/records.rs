//! What writers read: every record, and the keys of each lineage and each subject.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::clock::Timestamp;
use crate::format::KeyId;
use crate::realm::Realm;
use crate::record::KeyRecord;
use crate::store::{ListQuery, SubjectKeys, Target};

#[derive(Default)]
pub(super) struct Records {
    pub(super) keys: BTreeMap<KeyId, Entry>,
    pub(super) lineages: BTreeSet<(KeyId, KeyId)>,
    pub(super) subjects: BTreeSet<(SmolStr, KeyId)>,
}

pub(super) struct Entry {
    pub(super) record: Arc<KeyRecord>,
    pub(super) last_used: Option<Timestamp>,
}

impl Records {
    pub(super) fn put(&mut self, record: &Arc<KeyRecord>) {
        if let Some(entry) = self.keys.get_mut(&record.id()) {
            entry.record = Arc::clone(record);
            return;
        }
        self.lineages.insert((record.lineage(), record.id()));
        self.subjects.insert((record.subject().into(), record.id()));
        let entry = Entry {
            record: Arc::clone(record),
            last_used: None,
        };
        self.keys.insert(record.id(), entry);
    }

    pub(super) fn remove(&mut self, record: &KeyRecord) {
        self.lineages.remove(&(record.lineage(), record.id()));
        self.subjects
            .remove(&(record.subject().into(), record.id()));
        self.keys.remove(&record.id());
    }

    pub(super) fn get(&self, realm: &Realm, id: KeyId) -> Option<&Entry> {
        self.keys
            .get(&id)
            .filter(|entry| entry.record.realm() == realm)
    }

    pub(super) fn get_mut(&mut self, realm: &Realm, id: KeyId) -> Option<&mut Entry> {
        self.keys
            .get_mut(&id)
            .filter(|entry| entry.record.realm() == realm)
    }

    /// The records that a query asks for, found by the narrowest index.
    pub(super) fn list(&self, realm: &Realm, query: &ListQuery) -> Vec<Arc<KeyRecord>> {
        let after = query.after;
        let asked = |record: &&Arc<KeyRecord>| record.realm() == realm && query.matches(record);
        let limit = query.limit.unwrap_or(usize::MAX);
        let record = |id: KeyId| self.keys.get(&id).map(|entry| &entry.record);
        let first = after.unwrap_or(KeyId::FIRST);
        if let Some(lineage) = query.lineage {
            self.lineages
                .range((lineage, first)..)
                .take_while(|(other, _)| *other == lineage)
                .filter_map(|&(_, id)| record(id))
                .filter(asked)
                .take(limit)
                .cloned()
                .collect()
        } else if let Some(subject) = &query.subject {
            self.subjects
                .range((SmolStr::new(subject), first)..)
                .take_while(|(other, _)| other == subject)
                .filter_map(|&(_, id)| record(id))
                .filter(asked)
                .take(limit)
                .cloned()
                .collect()
        } else {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            self.keys
                .range((start, Bound::Unbounded))
                .map(|(_, entry)| &entry.record)
                .filter(asked)
                .take(limit)
                .cloned()
                .collect()
        }
    }

    /// The records that a revocation is about.
    pub(super) fn named(&self, realm: &Realm, target: &Target) -> Vec<Arc<KeyRecord>> {
        let record = |id| self.get(realm, id).map(|entry| &entry.record);
        match target {
            Target::Key(id) => record(*id).cloned().into_iter().collect(),
            Target::Lineage(id) => {
                let lineage = record(*id).map_or(*id, |record| record.lineage());
                self.list(realm, &ListQuery::new().lineage(lineage))
            }
            Target::Subject(subject) => self.list(realm, &ListQuery::new().subject(subject)),
        }
    }

    pub(super) fn keys_of(&self, realm: &Realm, subject: &str) -> SubjectKeys {
        let query = ListQuery::new().subject(subject).unrevoked();
        SubjectKeys::new(realm, subject, &self.list(realm, &query))
    }
}
