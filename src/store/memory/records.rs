//! The records that writers read, and the keys of each lineage and each subject.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smol_str::SmolStr;

use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::record::KeyRecord;
use crate::store::{Cursor, ListQuery, Page, SubjectKeys, Target};
use crate::time::Timestamp;

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

    /// The page that a query asks for, found by the narrowest index.
    pub(super) fn list(&self, realm: &Realm, query: &ListQuery) -> Page {
        let asked = |entry: &&Entry| {
            entry.record.realm() == realm && query.matches(&entry.record, entry.last_used)
        };
        let entry = |id: KeyId| self.keys.get(&id);
        let after = query.after.filter(|_| !query.newest_first);
        let first = after.map_or(KeyId::FIRST, Cursor::id);
        let found: Box<dyn Iterator<Item = &Entry>> = if let Some(lineage) = query.lineage {
            let lineages = self.lineages.range((lineage, first)..);
            let of_it = lineages.take_while(move |(other, _)| *other == lineage);
            Box::new(of_it.filter_map(move |&(_, id)| entry(id)))
        } else if let Some(subject) = &query.subject {
            let subjects = self.subjects.range((SmolStr::new(subject), first)..);
            let of_it = subjects.take_while(move |(other, _)| other == subject);
            Box::new(of_it.filter_map(move |&(_, id)| entry(id)))
        } else {
            Box::new(self.keys.range(first..).map(|(_, entry)| entry))
        };
        let records = found.filter(asked).map(|entry| Arc::clone(&entry.record));
        if query.newest_first {
            let mut records: Vec<_> = records.collect();
            records.sort_by_key(|record| Reverse(Cursor::of(record)));
            return Page::cut(records, query);
        }
        // One more than the limit tells whether there is a next page.
        let limit = query.limit.map_or(usize::MAX, |it| it.saturating_add(1));
        Page::cut(records.take(limit).collect(), query)
    }

    /// The realms of all records.
    pub(super) fn realms(&self) -> BTreeSet<Realm> {
        let records = self.keys.values().map(|entry| &entry.record);
        records.map(|record| record.realm().clone()).collect()
    }

    /// The records that a revocation names.
    pub(super) fn named(&self, realm: &Realm, target: &Target) -> Vec<Arc<KeyRecord>> {
        let record = |id| self.get(realm, id).map(|entry| &entry.record);
        match target {
            Target::Key(id) => record(*id).cloned().into_iter().collect(),
            Target::Lineage(id) => {
                let lineage = record(*id).map_or(*id, |record| record.lineage());
                let query = ListQuery::new().lineage(lineage);
                self.list(realm, &query).into_iter().collect()
            }
            Target::Subject(subject) => {
                let query = ListQuery::new().subject(subject);
                self.list(realm, &query).into_iter().collect()
            }
        }
    }

    pub(super) fn keys_of(&self, realm: &Realm, subject: &str) -> SubjectKeys {
        let query = ListQuery::new().subject(subject).unrevoked();
        SubjectKeys::new(realm, subject, &self.list(realm, &query))
    }
}
