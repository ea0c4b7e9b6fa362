//! How many keys a subject has, without looking at each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::access::realm::Realm;
use crate::access::subject::Subject;
use crate::key::KeyId;
use crate::record::KeyRecord;
use crate::store::{KeyLimit, Write};
use crate::time::Timestamp;

/// Up to this many records of a subject are looked at each time. Most subjects have fewer, and need no tally.
const FEW: usize = 32;

/// The tallies of subjects with many records, from the first limit on.
#[derive(Default)]
pub(super) struct Tallies {
    tallies: BTreeMap<(Realm, Subject), Tally>,
    /// How many records were looked at for a limit.
    #[cfg(test)]
    pub(super) looked_at: usize,
}

/// The records of a subject that had not ended at a time.
#[derive(Debug, Clone)]
struct Tally {
    since: Timestamp,
    /// The lineage of each, in the order of their ends.
    ends: BTreeMap<(Timestamp, KeyId), KeyId>,
    /// How many of them each lineage has.
    lineages: BTreeMap<KeyId, usize>,
}

impl Tallies {
    /// Whether the limit holds after these writes. `records` are those of the subject, perhaps of other
    /// realms too, and `held` finds the record that a write replaces.
    pub(super) fn is_within<'a>(
        &mut self,
        limit: &KeyLimit,
        writes: &[Write],
        held: impl Fn(KeyId) -> Option<&'a Arc<KeyRecord>>,
        records: impl Iterator<Item = &'a Arc<KeyRecord>> + Clone,
    ) -> bool {
        let tally = self.tally(limit, records);
        let mut changed: BTreeMap<KeyId, usize> = BTreeMap::new();
        let number = |lineage: KeyId| tally.lineages.get(&lineage).copied().unwrap_or(0);
        // What goes comes first, so that no number is below zero.
        for write in writes {
            if let Some(old) = held(write.record.id()).filter(|old| limit.counts(old)) {
                let left = changed
                    .entry(old.lineage())
                    .or_insert_with(|| number(old.lineage()));
                *left = left.saturating_sub(1);
            }
        }
        for new in writes.iter().map(|write| &write.record) {
            if limit.counts(new) {
                *changed
                    .entry(new.lineage())
                    .or_insert_with(|| number(new.lineage())) += 1;
            }
        }
        let before = changed.keys().filter(|&&lineage| number(lineage) > 0);
        let after = changed.values().filter(|&&number| number > 0);
        tally.lineages.len() - before.count() + after.count() <= limit.most()
    }

    /// The tally at the time of the limit.
    fn tally<'a>(
        &mut self,
        limit: &KeyLimit,
        records: impl Iterator<Item = &'a Arc<KeyRecord>> + Clone,
    ) -> Cow<'_, Tally> {
        let entry = self.tallies.entry(name(limit.realm(), limit.subject()));
        let entry = match entry {
            Entry::Occupied(kept) if kept.get().since <= limit.at() => {
                let kept = kept.into_mut();
                kept.pass(limit.at());
                return Cow::Borrowed(kept);
            }
            entry => entry,
        };
        #[cfg(test)]
        {
            self.looked_at += records.clone().count();
        }
        let are_few = records.clone().nth(FEW).is_none();
        let tally = Tally::of(limit, records);
        if are_few {
            return Cow::Owned(tally);
        }
        Cow::Borrowed(match entry {
            Entry::Occupied(mut kept) => {
                kept.insert(tally);
                kept.into_mut()
            }
            Entry::Vacant(place) => place.insert(tally),
        })
    }

    /// Follows a record that takes the place of another, or none.
    pub(super) fn put(&mut self, old: Option<&KeyRecord>, new: &KeyRecord) {
        if self.tallies.is_empty() {
            return;
        }
        if let Some(tally) = self.tallies.get_mut(&name(new.realm(), new.subject())) {
            if let Some(old) = old {
                tally.remove(old);
            }
            tally.add(new);
        }
    }

    /// Follows a record that is gone.
    pub(super) fn remove(&mut self, old: &KeyRecord) {
        if self.tallies.is_empty() {
            return;
        }
        if let Entry::Occupied(mut tally) = self.tallies.entry(name(old.realm(), old.subject())) {
            tally.get_mut().remove(old);
            if tally.get().ends.is_empty() {
                tally.remove();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tallies.len()
    }
}

fn name(realm: &Realm, subject: &Subject) -> (Realm, Subject) {
    (realm.clone(), subject.clone())
}

impl Tally {
    fn of<'a>(limit: &KeyLimit, records: impl Iterator<Item = &'a Arc<KeyRecord>>) -> Self {
        let mut tally = Self {
            since: limit.at(),
            ends: BTreeMap::new(),
            lineages: BTreeMap::new(),
        };
        for record in records.filter(|record| limit.counts(record)) {
            tally.add(record);
        }
        tally
    }

    fn add(&mut self, record: &KeyRecord) {
        let end = record.valid_until();
        if self.since < end {
            self.ends.insert((end, record.id()), record.lineage());
            *self.lineages.entry(record.lineage()).or_default() += 1;
        }
    }

    fn remove(&mut self, record: &KeyRecord) {
        let lineage = self.ends.remove(&(record.valid_until(), record.id()));
        if let Some(lineage) = lineage {
            self.leave(lineage);
        }
    }

    /// Forgets the records that have ended by a later time.
    fn pass(&mut self, at: Timestamp) {
        self.since = at;
        while let Some(first) = self.ends.first_entry().filter(|it| it.key().0 <= at) {
            let lineage = first.remove();
            self.leave(lineage);
        }
    }

    fn leave(&mut self, lineage: KeyId) {
        if let Some(number) = self.lineages.get_mut(&lineage) {
            *number -= 1;
            if *number == 0 {
                self.lineages.remove(&lineage);
            }
        }
    }
}
