//! The required content of the store, according to the writers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tower_api_key::store::ListQuery;
use tower_api_key::{KeyId, KeyRecord, KeyRing, RevocationReason, Timestamp};

use super::writer::{Operation, REASON, SUBJECTS, scopes_of_regrant};

/// The keys of all subjects after the acknowledged changes, and the change of each subject that is
/// under way.
#[derive(Default)]
pub(super) struct Ledger {
    subjects: BTreeMap<String, Rows>,
    under_way: BTreeMap<String, Operation>,
    /// The acknowledged uses of this writer, and when they began.
    uses: BTreeMap<KeyId, Timestamp>,
    pub(super) acknowledged: u64,
    /// The number of changes that were under way when the writer was killed, and were applied.
    pub(super) applied: u64,
    /// … and were not.
    pub(super) not_applied: u64,
    /// The number of uses that were checked.
    used: u64,
}

type Rows = BTreeMap<KeyId, Row>;

/// The fields of a record that these changes affect.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    lineage: KeyId,
    generation: u32,
    version: u64,
    scopes: String,
    in_grace: bool,
    revoked: Option<RevocationReason>,
}

impl Ledger {
    /// Takes a line of a writer. Returns false if the line is the test runner's.
    #[track_caller]
    pub(super) fn hear(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        let [subject, verb, rest @ ..] = &words[..] else {
            return false;
        };
        if !SUBJECTS.contains(subject) {
            return false;
        }
        match (*verb, rest) {
            ("begins", operation) => {
                let operation = Operation::of(operation);
                let before = self.under_way.insert((*subject).to_owned(), operation);
                assert_eq!(before, None, "{line}");
            }
            ("made", [new]) => {
                let operation = self.under_way.remove(*subject).expect(line);
                let rows = self.subjects.entry((*subject).to_owned()).or_default();
                apply(rows, operation, new.parse().ok());
                self.acknowledged += 1;
            }
            ("used", [id, at]) => {
                let at = Timestamp::from_unix(at.parse().unwrap());
                self.uses.insert(id.parse().unwrap(), at);
            }
            _ => panic!("{line}"),
        }
        true
    }

    /// Asserts that the ring's store holds every required record.
    pub(super) async fn check(&mut self, ring: &KeyRing) {
        self.check_records(&ring.list(&ListQuery::new()).await.unwrap());
        for (id, at) in std::mem::take(&mut self.uses) {
            let last = ring.last_used(id).await.unwrap();
            assert!(
                last >= Some(at),
                "{id}: a use at {at}, and {last:?} is kept"
            );
            self.used += 1;
        }
    }

    /// Compares all records with the expected ones, and continues from them.
    #[track_caller]
    fn check_records(&mut self, records: &[Arc<KeyRecord>]) {
        let mut held = BTreeMap::<String, Rows>::new();
        for record in records {
            let rows = held.entry(record.subject().to_string()).or_default();
            rows.insert(record.id(), Row::of(record));
        }
        for subject in SUBJECTS {
            let acknowledged = self.subjects.remove(subject).unwrap_or_default();
            let rows = held.remove(subject).unwrap_or_default();
            check_lineages(&rows);
            let under_way = self.under_way.remove(subject);
            if rows == acknowledged {
                self.not_applied += u64::from(under_way.is_some());
            } else if let Some(operation) = under_way {
                let new = rows.keys().find(|id| !acknowledged.contains_key(id));
                let mut whole = acknowledged;
                apply(&mut whole, operation, new.copied());
                assert_same(&rows, &whole, &format!("{subject}: half of {operation}"));
                self.applied += 1;
            } else {
                assert_same(&rows, &acknowledged, subject);
            }
            self.subjects.insert(subject.to_owned(), rows);
        }
        assert!(held.is_empty(), "subjects of nobody: {:?}", held.keys());
    }

    /// Asserts that the kills came at the moments that matter.
    #[track_caller]
    pub(super) fn check_aim(&self, rounds: u64) {
        let Self {
            acknowledged,
            applied,
            not_applied,
            used,
            ..
        } = self;
        let tally = format!(
            "{rounds} kills, {acknowledged} changes acknowledged; under way {applied} applied, \
             {not_applied} not; {used} last uses"
        );
        eprintln!("{tally}");
        assert!(*acknowledged >= rounds, "{tally}");
        // How many of each there are depends on the machine.
        assert!(*applied > 0 && *not_applied > 0 && *used > 0, "{tally}");
    }
}

impl Row {
    fn of(record: &KeyRecord) -> Self {
        Self {
            lineage: record.lineage(),
            generation: record.generation(),
            version: record.version(),
            scopes: record.scopes().as_str().to_owned(),
            in_grace: record.grace_ends_at().is_some(),
            revoked: record.revocation().map(|revocation| revocation.reason),
        }
    }

    fn revoke(&mut self, reason: RevocationReason) {
        self.revoked = Some(reason);
        self.version += 1;
    }
}

/// A change according to the rules. `new` is the key that it adds.
#[track_caller]
fn apply(rows: &mut Rows, operation: Operation, new: Option<KeyId>) {
    match operation {
        Operation::Issue => {
            let lineage = new.expect("an issue brings a key");
            let scopes = scopes_of_regrant(0).to_owned();
            rows.insert(lineage, Row::first(lineage, scopes));
        }
        Operation::Rotate(id) => {
            let old = rows.get_mut(&id).unwrap();
            old.in_grace = true;
            old.version += 1;
            let scopes = old.scopes.clone();
            succeed(rows, id, new, scopes);
        }
        Operation::RotateAtOnce(id) => {
            let scopes = rows[&id].scopes.clone();
            revoke_lineage(rows, rows[&id].lineage, RevocationReason::Superseded);
            succeed(rows, id, new, scopes);
        }
        Operation::Regrant(id) => {
            let scopes = scopes_of_regrant(rows[&id].generation + 1).to_owned();
            revoke_lineage(rows, rows[&id].lineage, RevocationReason::Superseded);
            succeed(rows, id, new, scopes);
        }
        Operation::Revoke(id) => rows.get_mut(&id).unwrap().revoke(REASON),
        Operation::RevokeLineage(lineage) => revoke_lineage(rows, lineage, REASON),
    }
}

impl Row {
    fn first(lineage: KeyId, scopes: String) -> Self {
        Self {
            lineage,
            generation: 0,
            version: 1,
            scopes,
            in_grace: false,
            revoked: None,
        }
    }
}

#[track_caller]
fn succeed(rows: &mut Rows, old: KeyId, new: Option<KeyId>, scopes: String) {
    let old = &rows[&old];
    let row = Row {
        generation: old.generation + 1,
        ..Row::first(old.lineage, scopes)
    };
    rows.insert(new.expect("half a change: the new key is missing"), row);
}

fn revoke_lineage(rows: &mut Rows, lineage: KeyId, reason: RevocationReason) {
    for row in rows.values_mut() {
        if row.lineage == lineage && row.revoked.is_none() {
            row.revoke(reason);
        }
    }
}

/// The invariants of every lineage, whatever the lines were: its generations follow one another,
/// and at most two keys of it are live, the last and the one before, which is in its grace period.
#[track_caller]
fn check_lineages(rows: &Rows) {
    let mut lineages = BTreeMap::<KeyId, BTreeMap<u32, &Row>>::new();
    for row in rows.values() {
        let generations = lineages.entry(row.lineage).or_default();
        let twin = generations.insert(row.generation, row);
        assert_eq!(twin, None, "two keys of one generation");
    }
    for (lineage, generations) in &lineages {
        let count = u32::try_from(generations.len()).unwrap();
        assert!(generations.keys().copied().eq(0..count), "{lineage}");
        for (generation, row) in generations {
            let last = generation + 1 == count;
            let lives = row.revoked.is_none();
            let may_live = (last && !row.in_grace) || (generation + 2 == count && row.in_grace);
            assert!(!lives || may_live, "{lineage}: {generations:?}");
        }
    }
}

#[track_caller]
fn assert_same(held: &Rows, expected: &Rows, what: &str) {
    for id in held.keys().chain(expected.keys()) {
        assert_eq!(held.get(id), expected.get(id), "{what}: {id}");
    }
}
