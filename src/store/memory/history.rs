//! The history of records in memory, if it is kept.

use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::record::KeyRecord;
use crate::store::{
    ExpiryNotice, HistoryEntry, HistoryKind, HistoryPage, HistoryPlace, HistoryQuery,
};
use crate::time::Timestamp;

/// When a change is made, and by whom.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) at: Timestamp,
    pub(super) by: Option<&'a Actor>,
}

/// The entries in the order in which they were made.
#[derive(Default)]
pub(super) struct History {
    entries: Vec<HistoryEntry>,
    last: u64,
}

impl History {
    fn next(&mut self) -> HistoryPlace {
        self.last += 1;
        HistoryPlace::numbered(self.last)
    }

    pub(super) fn note(
        &mut self,
        made: Made<'_>,
        before: Option<&KeyRecord>,
        after: Option<&KeyRecord>,
    ) {
        let place = self.next();
        let entry = HistoryEntry::of(place, made.at, before, after);
        self.entries.push(entry.by(made.by));
    }

    pub(super) fn note_notice(&mut self, at: Timestamp, realm: &Realm, notice: &ExpiryNotice) {
        let place = self.next();
        self.entries
            .push(HistoryEntry::of_notice(place, at, realm, notice));
    }

    pub(super) fn page(&self, realm: &Realm, query: &HistoryQuery) -> HistoryPage {
        let number = |place: &HistoryPlace| place.as_str().parse::<u64>().ok();
        let after = query.after.as_ref().and_then(number);
        let is_after = |entry: &HistoryEntry| match (after, number(entry.place())) {
            (Some(after), Some(number)) if query.oldest_first => number > after,
            (Some(after), Some(number)) => number < after,
            _ => true,
        };
        let asked = self.entries.iter().filter(|entry| {
            entry.realm() == Some(realm) && query.matches(entry) && is_after(entry)
        });
        let mut entries: Vec<HistoryEntry> = asked.cloned().collect();
        if !query.oldest_first {
            entries.reverse();
        }
        HistoryPage::new(entries, query.limit)
    }

    pub(super) fn forget(&mut self, realm: &Realm, before: Timestamp, made: Made<'_>) -> u64 {
        let count = self.entries.len();
        self.entries
            .retain(|entry| entry.realm() != Some(realm) || entry.at() >= before);
        let forgotten = (count - self.entries.len()) as u64;
        if forgotten > 0 {
            let entry = HistoryEntry::new(self.next(), made.at, HistoryKind::Forgotten);
            let entry = entry.in_realm(realm).by(made.by);
            let entry = entry.saying("before", before.to_rfc3339());
            self.entries
                .push(entry.saying("entries", forgotten.to_string()));
        }
        forgotten
    }
}
