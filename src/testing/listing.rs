//! A list holds what was asked for, in order, and pages of it hold everything once.

use super::Violation;
use super::trial::{self, Trial, after, key};
use crate::digest::KeyDigest;
use crate::format::KeyId;
use crate::realm::Realm;
use crate::record::{KeyRecord, Revocation, RevocationReason};
use crate::store::{KeyStore, ListQuery};

/// Numbers of ids, in the order of commit. Some ids differ in case alone, and case decides their
/// order: upper before lower.
const NUMBERS: [u64; 20] = [
    5_000, 10, 36, 11, 37, 9, 62, 61, 2, 3_843, 700, 12, 38, 640, 666, 1, 100_000, 35, 13, 39,
];

/// Subjects that a careless comparison takes for one another.
const SUBJECTS: [&str; 6] = ["alice", "Alice", "alice ", "ali_e", "al%", "\u{e1}lice"];

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = trial::realm("orders");
    let empty = trial.list(&realm, &ListQuery::new()).await?;
    trial.require(empty.is_empty(), "list of an empty store was not empty")?;
    let records = populate(trial, &realm).await?;
    for query in queries(&records) {
        answers(trial, &realm, &records, &query).await?;
    }
    for size in [1, 3, records.len() - 1, records.len(), records.len() + 1] {
        pages(trial, &realm, &records, &ListQuery::new(), size).await?;
        let alice = ListQuery::new().subject(SUBJECTS[0]);
        pages(trial, &realm, &records, &alice, size).await?;
    }
    Ok(())
}

/// Keys of several subjects and lineages, dead and alive; the answer is in the order of ids.
async fn populate<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
) -> Result<Vec<KeyRecord>, Violation> {
    let mut records = Vec::new();
    for (place, number) in NUMBERS.into_iter().enumerate() {
        let mut parts = key(KeyId::numbered(number), realm, "alice");
        parts.lineage = KeyId::numbered(NUMBERS[place % 3]);
        if place % 2 == 0 {
            SUBJECTS[place / 2 % SUBJECTS.len()].clone_into(&mut parts.subject);
        }
        match place % 5 {
            1 => {
                parts.revocation = Some(Revocation {
                    at: after(1),
                    reason: RevocationReason::Superseded,
                });
            }
            2 => parts.retire_at = Some(after(1)),
            3 => parts.expires_at = Some(after(1)),
            _ => {}
        }
        records.push(trial.put(parts.into()).await?);
    }
    records.sort_unstable_by_key(KeyRecord::id);
    let mut elsewhere = trial.key(&trial::realm("billing"), "alice");
    elsewhere.id = KeyId::numbered(20);
    elsewhere.lineage = KeyId::numbered(NUMBERS[0]);
    elsewhere.digest = KeyDigest::sha256(b"elsewhere");
    trial.put(elsewhere.into()).await?;
    Ok(records)
}

/// Every kind of filter, with and without a place to begin after and a limit.
fn queries(records: &[KeyRecord]) -> Vec<ListQuery> {
    let lineage = KeyId::numbered(NUMBERS[0]);
    let filters = [
        ListQuery::new(),
        ListQuery::new().unrevoked(),
        ListQuery::new().lineage(lineage),
        ListQuery::new().lineage(lineage).unrevoked(),
        ListQuery::new().lineage(KeyId::numbered(77)),
        ListQuery::new().subject("alice").lineage(lineage),
        ListQuery::new()
            .subject("alice")
            .lineage(lineage)
            .unrevoked(),
        ListQuery::new().subject("nobody"),
        ListQuery::new().subject("alice").unrevoked(),
    ];
    let places = [
        None,
        Some(records[0].id()),
        Some(records[7].id()),
        // The id of no record.
        Some(KeyId::numbered(20)),
        records.last().map(KeyRecord::id),
    ];
    let mut queries: Vec<ListQuery> = SUBJECTS
        .into_iter()
        .map(|subject| ListQuery::new().subject(subject))
        .collect();
    for filter in filters {
        for place in places {
            for limit in [None, Some(2), Some(usize::MAX)] {
                queries.push(ListQuery {
                    after: place,
                    limit,
                    ..filter.clone()
                });
            }
        }
        queries.push(filter.limit(0));
    }
    queries
}

async fn answers<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    records: &[KeyRecord],
    query: &ListQuery,
) -> Result<Vec<KeyId>, Violation> {
    let due: Vec<&KeyRecord> = records
        .iter()
        .filter(|record| query.matches(record))
        .take(query.limit.unwrap_or(usize::MAX))
        .collect();
    let listed = trial.list(realm, query).await?;
    let ids: Vec<KeyId> = listed.iter().map(|record| record.id()).collect();
    let due_ids: Vec<KeyId> = due.iter().map(|record| record.id()).collect();
    trial.require(
        ids == due_ids,
        format!("list for {query:?} gave {ids:?}; {due_ids:?} was due"),
    )?;
    let same = listed.iter().zip(due).all(|(seen, due)| **seen == *due);
    trial.require(
        same,
        format!("list for {query:?} gave other records than those committed"),
    )?;
    Ok(ids)
}

/// Turns pages until one is not full, and has seen everything once.
async fn pages<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    records: &[KeyRecord],
    query: &ListQuery,
    size: usize,
) -> Result<(), Violation> {
    let mut seen = Vec::new();
    let mut page = query.clone().limit(size);
    loop {
        let ids = answers(trial, realm, records, &page).await?;
        seen.extend_from_slice(&ids);
        match ids.last() {
            // Each full page is as it must be, so the next begins later, and there is an end.
            Some(&last) if ids.len() == size => page = page.after(last),
            _ => break,
        }
    }
    let due: Vec<KeyId> = records
        .iter()
        .filter(|record| query.matches(record))
        .map(KeyRecord::id)
        .collect();
    trial.require(
        seen == due,
        format!("pages of {size} for {query:?} gave {seen:?}; {due:?} was due"),
    )
}
