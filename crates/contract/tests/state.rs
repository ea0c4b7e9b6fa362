//! The records of a broken store, and its faults within one step.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::{
    Change, Cursor, Expected, KeyLimit, ListQuery, Page, StoreError, StoreErrorKind, Write,
};
use tower_api_key::{KeyDigest, KeyId, KeyRecord, KeyState, Realm, Timestamp};

use super::fault::{Fault, Field, Filter};

pub(super) struct State {
    pub(super) fault: Fault,
    pub(super) keys: BTreeMap<KeyId, Arc<KeyRecord>>,
    pub(super) uses: BTreeMap<KeyId, Timestamp>,
    /// The narrowest step that was claimed of a key, and the version of its record then.
    pub(super) claims: BTreeMap<KeyId, (Duration, u64)>,
    /// The records that a look-up by digest does not see.
    pub(super) hidden: BTreeSet<KeyId>,
    pub(super) purged: BTreeMap<KeyId, Arc<KeyRecord>>,
    /// The keys before the last change, if the fault needs them.
    before: BTreeMap<KeyId, Arc<KeyRecord>>,
    /// The latest time of a limit.
    latest: Cell<Timestamp>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            fault: Fault::None,
            keys: BTreeMap::new(),
            uses: BTreeMap::new(),
            claims: BTreeMap::new(),
            hidden: BTreeSet::new(),
            purged: BTreeMap::new(),
            before: BTreeMap::new(),
            latest: Cell::new(Timestamp::from_unix(0)),
        }
    }
}

impl State {
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        self.check(change)?;
        if let Fault::GetsWhatWasBefore | Fault::ListsWhatWasBefore = self.fault {
            self.before.clone_from(&self.keys);
        }
        self.put_all(change.writes());
        Ok(())
    }

    pub(super) fn check(&self, change: &Change) -> Result<(), StoreError> {
        if self.fault == Fault::ReadsLimitsBeforeWrites {
            self.check_limits(change)?;
        }
        self.check_writes(change)?;
        self.check_limits(change)
    }

    pub(super) fn check_writes(&self, change: &Change) -> Result<(), StoreError> {
        for (index, write) in change.writes().iter().enumerate() {
            self.check_write(&change.writes()[..index], write)?;
        }
        Ok(())
    }

    pub(super) fn check_write(&self, earlier: &[Write], write: &Write) -> Result<(), StoreError> {
        let record = &write.record;
        let held = self.keys.get(&record.id());
        match write.expected {
            Expected::Absent => {
                let same_digest = |other: &KeyRecord| match self.fault {
                    Fault::AcceptsDigestsTwice => false,
                    Fault::AcceptsDigestsOncePerRealm => {
                        other.digest() == record.digest() && other.realm() == record.realm()
                    }
                    _ => other.digest() == record.digest(),
                };
                let in_change = self.fault != Fault::ForgetsTheChangeItself
                    && earlier
                        .iter()
                        .map(|write| &write.record)
                        .any(|other| other.id() == record.id() || same_digest(other));
                if held.is_some() || in_change || self.keys.values().any(|held| same_digest(held)) {
                    return Err(StoreErrorKind::Duplicate.into());
                }
            }
            Expected::Version(version) => {
                let Some(held) = held else {
                    return match self.fault {
                        Fault::PutsAbsentRecords => Ok(()),
                        _ => Err(StoreErrorKind::Conflict.into()),
                    };
                };
                let right_version =
                    held.version() == version || self.fault == Fault::IgnoresVersions;
                if !right_version || !self.is_same(held, record) {
                    return Err(StoreErrorKind::Conflict.into());
                }
            }
        }
        Ok(())
    }

    /// Whether one record may be a version of the other.
    fn is_same(&self, held: &KeyRecord, record: &KeyRecord) -> bool {
        let (subject, other) = (held.subject(), record.subject());
        let compared = [
            (Field::Digest, held.digest() == record.digest()),
            (Field::Realm, held.realm() == record.realm()),
            (Field::Subject, subject == other),
            (Field::Lineage, held.lineage() == record.lineage()),
        ];
        compared.into_iter().all(|(field, same)| {
            same || match self.fault {
                Fault::IgnoresIdentity(Field::CaseOfTheSubject) => {
                    field == Field::Subject && subject.as_str().eq_ignore_ascii_case(other.as_str())
                }
                fault => fault == Fault::IgnoresIdentity(field),
            }
        })
    }

    pub(super) fn check_limits(&self, change: &Change) -> Result<(), StoreError> {
        let counted = match self.fault {
            Fault::IgnoresLimits => 0,
            Fault::ReadsTheFirstLimitAlone => 1,
            _ => usize::MAX,
        };
        let mut limits = change.limits().iter().take(counted);
        if limits.all(|limit| self.is_within(limit, change)) {
            Ok(())
        } else {
            Err(StoreErrorKind::TooManyKeys.into())
        }
    }

    fn is_within(&self, limit: &KeyLimit, change: &Change) -> bool {
        let new = |write: &Write| Arc::clone(&write.record);
        let mut after = self.keys.clone();
        if self.fault != Fault::CountsBeforeTheChange {
            let written = change.writes().iter().map(new);
            after.extend(written.map(|record| (record.id(), record)));
        }
        let at = match self.fault {
            Fault::CountsTheLatestTime => {
                let latest = self.latest.get().max(limit.at());
                self.latest.set(latest);
                latest
            }
            _ => limit.at(),
        };
        let counts = |record: &KeyRecord| {
            let realm = match self.fault {
                Fault::CountsOtherRealms => record.realm(),
                _ => limit.realm(),
            };
            let at = match self.fault {
                Fault::CountsTheExpired if record.revocation().is_none() => Timestamp::from_unix(0),
                _ => at,
            };
            KeyLimit::new(realm, limit.subject(), limit.most(), at).counts(record)
        };
        let counted = after.values().filter(|record| counts(record));
        if self.fault == Fault::CountsRecords {
            return counted.count() <= limit.most();
        }
        let lineages: BTreeSet<KeyId> = counted.map(|record| record.lineage()).collect();
        // A number that is kept, and lowered by each revocation, also of a key that had ended.
        let lowered = match self.fault {
            Fault::CountsDown => {
                let twice = |record: &&Arc<KeyRecord>| {
                    record.subject() == limit.subject()
                        && record.realm() == limit.realm()
                        && record.revocation().is_some()
                        && record.expires_at().is_some_and(|end| end <= limit.at())
                };
                after.values().filter(twice).count()
            }
            _ => 0,
        };
        lineages.len().saturating_sub(lowered) <= limit.most()
    }

    /// Whether every record of the change exists in some version.
    pub(super) fn holds_all(&self, change: &Change) -> bool {
        let mut writes = change.writes().iter();
        writes.all(|write| self.keys.contains_key(&write.record.id()))
    }

    pub(super) fn put_all(&mut self, writes: &[Write]) {
        for write in writes {
            self.put(write);
        }
    }

    pub(super) fn put(&mut self, write: &Write) {
        let mut parts = write.record.to_parts();
        match self.fault {
            Fault::CutsTimesToAnI64 => {
                let last = Timestamp::from_unix(i64::MAX as u64);
                parts.expires_at = parts.expires_at.map(|at| at.min(last));
            }
            Fault::KeepsTheLabel => {
                if let Some(held) = self.keys.get(&parts.id) {
                    parts.label = held.label().cloned();
                }
            }
            Fault::ForgetsEmptyTexts => parts.label = parts.label.filter(|text| *text != *""),
            _ => {}
        }
        self.keys.insert(parts.id, Arc::new(parts.into()));
    }

    /// The keys, without the last change if this is the fault.
    fn seen_by(&self, late: Fault) -> &BTreeMap<KeyId, Arc<KeyRecord>> {
        if self.fault == late {
            &self.before
        } else {
            &self.keys
        }
    }

    fn is_of(&self, record: &KeyRecord, realm: &Realm) -> bool {
        match self.fault {
            Fault::FoldsTheCaseOfRealms => {
                record.realm().as_str().eq_ignore_ascii_case(realm.as_str())
            }
            _ => record.realm() == realm,
        }
    }

    pub(super) fn find(&self, realm: &Realm, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let any_realm = self.fault == Fault::FindsInAnyRealm;
        self.keys
            .values()
            .filter(|record| record.digest() == digest && !self.hidden.contains(&record.id()))
            .find(|record| any_realm || self.is_of(record, realm))
            .cloned()
    }

    pub(super) fn get(&self, realm: &Realm, id: KeyId) -> Option<Arc<KeyRecord>> {
        let any_realm = self.fault == Fault::GetsInAnyRealm;
        self.seen_by(Fault::GetsWhatWasBefore)
            .get(&id)
            .filter(|record| any_realm || self.is_of(record, realm))
            .cloned()
    }

    pub(super) fn list(&self, realm: &Realm, query: &ListQuery) -> Page {
        let mut records: Vec<_> = self
            .seen_by(Fault::ListsWhatWasBefore)
            .values()
            .filter(|record| self.is_of(record, realm))
            .map(|record| (Arc::clone(record), self.uses.get(&record.id()).copied()))
            .collect();
        let mut query = query.clone();
        let id_of = |(record, _): &(Arc<KeyRecord>, _)| record.id();
        match self.fault {
            Fault::SkipsOnePerPage if query.after.is_some() => {
                records.retain(|(record, used)| query.matches(record, *used));
                records.drain(..records.len().min(1));
            }
            Fault::RepeatsOnePerPage => {
                if let Some(after) = query.after.take() {
                    records.retain(|record| id_of(record) >= after.id());
                }
            }
            Fault::LimitsBeforeItFilters => {
                if let Some(after) = query.after {
                    records.retain(|record| id_of(record) > after.id());
                }
                records.truncate(query.limit.unwrap_or(usize::MAX));
            }
            Fault::NeedsTheIdItBeginsAfter
                if query
                    .after
                    .is_some_and(|after| !records.iter().any(|it| id_of(it) == after.id())) =>
            {
                query.limit = Some(0);
            }
            Fault::FoldsTheCaseOfSubjects => {
                if let Some(subject) = query.subject.take() {
                    records.retain(|(record, _)| {
                        record.subject().as_str().eq_ignore_ascii_case(&subject)
                    });
                }
            }
            Fault::ListsTheRevoked => query.unrevoked = false,
            Fault::IgnoresTheFilter(filter) => Self::ignore(filter, &mut query, &mut records),
            _ => {}
        }
        let page = Page::select(records, &query);
        match self.fault {
            Fault::OrdersIdsWithoutCase => {
                let mut records = page.records().to_vec();
                records.sort_by_key(|record| record.id().as_str().to_ascii_lowercase());
                Page::new(records).with_next(page.next())
            }
            Fault::NamesNoNextPage => page.with_next(None),
            Fault::ListsTheUsesOfOthers => {
                let of = |record: &Arc<KeyRecord>| self.uses.get(&record.id()).copied();
                let mut uses: Vec<_> = page.iter().map(of).collect();
                uses.rotate_left(1.min(page.len()));
                page.with_last_uses(uses)
            }
            Fault::NamesANextPageAlways => {
                let next = page.last().map(|record| Cursor::of(record));
                page.with_next(next)
            }
            _ => page,
        }
    }

    /// Answers a query as if it did not have this filter, or a careless one.
    fn ignore(
        filter: Filter,
        query: &mut ListQuery,
        records: &mut Vec<(Arc<KeyRecord>, Option<Timestamp>)>,
    ) {
        match filter {
            Filter::States => query.states.clear(),
            Filter::InGrace if query.in_grace => {
                query.in_grace = false;
                query.states.push(KeyState::Live);
            }
            Filter::EndOfExpiring => {
                // Also keys that have already ended.
                if let Some(by) = query.expiring_by() {
                    query.expiring_within = None;
                    records.retain(|(record, _)| {
                        record.revocation().is_none() && record.valid_until() <= by
                    });
                }
            }
            Filter::UseOfUnused => {
                for (_, used) in records {
                    *used = None;
                }
            }
            Filter::WholeDays => {
                for (record, used) in records {
                    let since = used.unwrap_or(record.issued_at()).as_unix();
                    *used = Some(Timestamp::from_unix(since / 86_400 * 86_400));
                }
            }
            Filter::WholeScopes => {
                if let Some(scope) = query.scope.take() {
                    records.retain(|(record, _)| record.scopes().as_str().contains(scope.as_str()));
                }
            }
            Filter::CaseOfPrefixes => {
                if let Some(prefix) = query.id_prefix.take() {
                    let prefix = prefix.to_lowercase();
                    records.retain(|(record, _)| {
                        record.id().as_str().to_lowercase().starts_with(&prefix)
                    });
                }
            }
            Filter::NewestFirst => query.newest_first = false,
            Filter::SecondsOfIssue => {
                // Of the keys that were issued in one second, a page shows only some.
                if let Some(after) = query.after.take_if(|_| query.newest_first) {
                    records.retain(|(record, _)| record.issued_at() < after.issued_at());
                }
            }
            Filter::LosesInAnyOrder | Filter::RepeatsInAnyOrder => {
                // The key at which a page begins is on no page, or that before it is on two.
                if let Some(after) = query
                    .after
                    .filter(|_| query.any_order && !query.newest_first)
                {
                    let loses = filter == Filter::LosesInAnyOrder;
                    let ids = records.iter().map(|(record, _)| record.id());
                    let lost = ids.filter(|id| loses && *id > after.id()).min();
                    records.retain(|(record, _)| Some(record.id()) != lost);
                    if !loses {
                        query.after = None;
                        records.retain(|(record, _)| record.id() >= after.id());
                    }
                }
            }
            Filter::InGrace => {}
        }
    }

    pub(super) fn purge(&mut self, realm: &Realm, ended_by: Timestamp) -> u64 {
        let by = ended_by.as_unix();
        let by = match self.fault {
            Fault::PurgesASecondMore => Some(by.saturating_add(1)),
            Fault::PurgesASecondLess => by.checked_sub(1),
            _ => Some(by),
        };
        let ended: Vec<Arc<KeyRecord>> = self
            .keys
            .values()
            .filter(|record| self.fault == Fault::PurgesEveryRealm || record.realm() == realm)
            .filter(|record| {
                record
                    .ended_at()
                    .is_some_and(|end| Some(end.as_unix()) <= by)
            })
            .cloned()
            .collect();
        for record in &ended {
            self.keys.remove(&record.id());
            if self.fault != Fault::RemembersTheUsesOfThePurged {
                self.uses.remove(&record.id());
            }
            if self.fault != Fault::RemembersTheClaimsOfThePurged {
                self.claims.remove(&record.id());
            }
            self.purged.insert(record.id(), Arc::clone(record));
        }
        let count = ended.len() as u64;
        match self.fault {
            Fault::CountsThePurgedWrong => count.min(1),
            _ => count,
        }
    }
}
