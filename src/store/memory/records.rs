//! The records that writers read, and the keys of each lineage and each subject.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::expiring::Expiring;
use super::history::{History, Made};
use super::ordered::{ById, ByLineage, BySubject, Ordered};
use super::tally::Tallies;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::record::KeyRecord;
use crate::store::{
    Cursor, ExpiryClaims, ExpiryLadder, KeyLimit, KeyUsage, ListQuery, Page, Target, Write,
};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Records {
    keys: Ordered<ById>,
    lineages: Ordered<ByLineage>,
    subjects: Ordered<BySubject>,
    last_uses: BTreeMap<KeyId, Timestamp>,
    usages: BTreeMap<KeyId, KeyUsage>,
    tallies: Tallies,
    expiring: Expiring,
    history: Option<History>,
}

impl Records {
    /// No records, with a history.
    pub(super) fn with(history: History) -> Self {
        Self {
            history: Some(history),
            ..Self::default()
        }
    }

    pub(super) fn history(&mut self) -> Option<&mut History> {
        self.history.as_mut()
    }

    pub(super) fn put(&mut self, record: &Arc<KeyRecord>, made: Made<'_>) {
        let replaced = self.keys.put(record);
        self.lineages.put(record);
        self.subjects.put(record);
        self.tallies.put(replaced.as_deref(), record);
        self.expiring.put(replaced.as_deref(), record);
        if let Some(history) = &mut self.history {
            history.note(made, replaced.as_deref(), Some(record));
        }
    }

    pub(super) fn remove(&mut self, record: &KeyRecord, made: Made<'_>) {
        self.keys.remove(record);
        self.lineages.remove(record);
        self.subjects.remove(record);
        self.last_uses.remove(&record.id());
        self.usages.remove(&record.id());
        self.tallies.remove(record);
        self.expiring.remove(record);
        if let Some(history) = &mut self.history {
            history.note(made, Some(record), None);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The record of an id, in whichever realm.
    pub(super) fn of_id(&self, id: KeyId) -> Option<&Arc<KeyRecord>> {
        self.keys.get(b"", id)
    }

    pub(super) fn get(&self, realm: &Realm, id: KeyId) -> Option<&Arc<KeyRecord>> {
        self.of_id(id).filter(|record| record.realm() == realm)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.keys.iter()
    }

    /// Raises the last use of a key.
    pub(super) fn use_at(&mut self, realm: &Realm, id: KeyId, at: Timestamp) {
        if self.get(realm, id).is_some() {
            let latest = self.last_uses.entry(id).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    pub(super) fn last_use(&self, realm: &Realm, id: KeyId) -> Option<Timestamp> {
        self.get(realm, id)?;
        self.last_uses.get(&id).copied()
    }

    /// Claims the notices that are due, and notes each in the history at this time of its clock.
    pub(super) fn claim_expiry_notices(
        &mut self,
        (realm, ladder): (&Realm, &ExpiryLadder),
        until: (Timestamp, usize),
        at: Timestamp,
    ) -> ExpiryClaims {
        let keys = &self.keys;
        let get = |id| keys.get(b"", id);
        let claims = self
            .expiring
            .claim((realm, ladder), until, keys.iter(), get);
        if let Some(history) = &mut self.history {
            for notice in &claims.notices {
                history.note_notice(at, realm, notice);
            }
        }
        claims
    }

    /// Adds to what is known of the uses of a key.
    pub(super) fn use_for(&mut self, realm: &Realm, id: KeyId, usage: &KeyUsage) {
        if self.get(realm, id).is_some() {
            self.usages.entry(id).or_default().add(usage);
        }
    }

    pub(super) fn usage(&self, realm: &Realm, id: KeyId) -> KeyUsage {
        let usage = self.get(realm, id).and_then(|_| self.usages.get(&id));
        usage.cloned().unwrap_or_default()
    }

    /// The page that a query asks for, found by the narrowest index.
    pub(super) fn list(&self, realm: &Realm, query: &ListQuery) -> Page {
        let asked = |record: &&Arc<KeyRecord>| {
            let last_used = self.last_uses.get(&record.id()).copied();
            record.realm() == realm && query.matches(record, last_used)
        };
        let after = query.after.filter(|_| !query.newest_first);
        let first = after.map_or(KeyId::FIRST, Cursor::id);
        let found: Box<dyn Iterator<Item = &Arc<KeyRecord>>> = if let Some(lineage) = &query.lineage
        {
            Box::new(self.lineages.of(lineage.as_bytes(), first))
        } else if let Some(subject) = &query.subject {
            Box::new(self.subjects.of(subject.as_bytes(), first))
        } else {
            Box::new(self.keys.of(b"", first))
        };
        let records = found.filter(asked).map(Arc::clone);
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
        self.iter().map(|record| record.realm().clone()).collect()
    }

    /// The records that a revocation names.
    pub(super) fn named(&self, realm: &Realm, target: &Target) -> Vec<Arc<KeyRecord>> {
        let record = |id| self.get(realm, id);
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

    /// Whether a limit holds after these writes.
    pub(super) fn is_within(&mut self, limit: &KeyLimit, writes: &[Write]) -> bool {
        let name = limit.subject().as_str().as_bytes();
        let records = self.subjects.of(name, KeyId::FIRST);
        let held = |id| self.keys.get(b"", id);
        self.tallies.is_within(limit, writes, held, records)
    }

    #[cfg(test)]
    pub(super) fn looked_at(&self) -> usize {
        self.tallies.looked_at
    }

    #[cfg(test)]
    pub(super) fn tallies(&self) -> usize {
        self.tallies.len()
    }

    #[cfg(test)]
    pub(super) fn expiring(&self) -> [usize; 2] {
        self.expiring.sizes()
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 5] {
        let uses = self.last_uses.len();
        [
            self.keys.len(),
            self.lineages.len(),
            self.subjects.len(),
            uses,
            self.usages.len(),
        ]
    }
}
