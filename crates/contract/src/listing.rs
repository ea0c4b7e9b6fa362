//! A list holds the records that match, in order, and pages of it hold everything once.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::{Cursor, KeyStore, ListQuery};
use tower_api_key::{
    KeyDigest, KeyId, KeyRecord, KeyState, Realm, Revocation, RevocationReason, Scope, Timestamp,
};

use super::trial::{self, Trial, after, key, numbered, subject};
use super::violation::Violation;

/// Numbers of ids, in the order of commit. Some ids differ in case alone, and case decides their
/// order: upper before lower.
const NUMBERS: [u64; 20] = [
    5_000, 10, 36, 11, 37, 9, 62, 61, 2, 3_843, 700, 12, 38, 640, 666, 1, 100_000, 35, 13, 39,
];

/// Subjects that a careless comparison confuses.
const SUBJECTS: [&str; 6] = ["alice", "Alice", "alice ", "ali_e", "al%", "\u{e1}lice"];

/// Sets of scopes with parts that a careless comparison takes for scopes.
const SCOPES: [&str; 5] = ["read write", "", "read:all write", "Read", "a_l re%d write"];

/// The time at which queries are judged: this many seconds after the first key was issued.
const NOW: u64 = 30 * 86_400;

/// A key with its last use.
type Held = (Arc<KeyRecord>, Option<Timestamp>);

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = trial::realm("orders");
    let empty = trial.list(&realm, &ListQuery::new()).await?;
    trial.require(empty.is_empty(), "list of an empty store was not empty")?;
    let records = populate(trial, &realm).await?;
    for query in queries(&records) {
        answers(trial, &realm, &records, &query).await?;
        let query = query.newest_first();
        answers(trial, &realm, &records, &query).await?;
    }
    for size in [1, 3, records.len() - 1, records.len(), records.len() + 1] {
        for query in [ListQuery::new(), ListQuery::new().subject(SUBJECTS[0])] {
            pages(trial, &realm, &records, &query, size).await?;
            let query = query.newest_first();
            pages(trial, &realm, &records, &query, size).await?;
        }
    }
    for size in [1, 3, records.len()] {
        for query in [ListQuery::new(), ListQuery::new().unrevoked()] {
            pages_in_any_order(trial, &realm, &records, &query, size).await?;
        }
    }
    realms(trial).await?;
    for query in [
        ListQuery::new(),
        ListQuery::new().newest_first(),
        ListQuery::new().in_any_order(),
    ] {
        pages_beside_new_keys(trial, &realm, &query).await?;
    }
    Ok(())
}

/// Used keys are listed by their last use. It runs after the clause of last uses, on which it depends.
pub(super) async fn check_unused<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = trial::realm("orders");
    let mut records = populate(trial, &realm).await?;
    for (place, (record, last_used)) in records.iter_mut().enumerate() {
        // One second before the time that a query asks for, at it, and one second after.
        let used = match place % 3 {
            0 => after(NOW - 7 * 86_400 - 1 + place as u64 / 3 % 3),
            1 => continue,
            _ => after(NOW - place as u64),
        };
        trial.record_uses(&realm, &[(record.id(), used)]).await?;
        *last_used = Some(used);
    }
    for query in queries(&records) {
        if query.unused_for.is_some() {
            answers(trial, &realm, &records, &query).await?;
            let query = query.newest_first();
            answers(trial, &realm, &records, &query).await?;
        }
    }
    for query in [ListQuery::new(), ListQuery::new().newest_first().limit(5)] {
        shows_uses(trial, &realm, &query).await?;
    }
    Ok(())
}

/// A page may have the last uses of its records. It then has no others.
async fn shows_uses<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    query: &ListQuery,
) -> Result<(), Violation> {
    let page = trial.page(realm, query).await?;
    let Some(shown) = page.last_uses() else {
        return Ok(());
    };
    let ids: Vec<KeyId> = page.iter().map(|record| record.id()).collect();
    let uses = trial.last_uses(realm, &ids).await?;
    trial.require(
        shown == uses,
        format!("the page of {query:?} has the last uses {shown:?}; last_uses gave {uses:?}"),
    )
}

/// Keys of several subjects, lineages and scopes, in every state.
async fn populate<S: KeyStore>(trial: &Trial<S>, realm: &Realm) -> Result<Vec<Held>, Violation> {
    let mut held = Vec::new();
    for (place, number) in NUMBERS.into_iter().enumerate() {
        let mut parts = key(numbered(number), realm, "alice");
        parts.lineage = numbered(NUMBERS[place % 3]);
        if place % 2 == 0 {
            parts.subject = subject(SUBJECTS[place / 2 % SUBJECTS.len()]);
        }
        parts.scopes = trial::scopes(SCOPES[place % SCOPES.len()]);
        // Several in one second, and one after the time of the queries.
        parts.issued_at = match place {
            13 => after(NOW + 1),
            place => after(place as u64 / 3 * 86_400),
        };
        parts.not_before = match place % 7 {
            6 => after(NOW + 1 - place as u64 % 2),
            _ => parts.issued_at,
        };
        // One second before the time that a query asks for, at it, and one second after.
        let offset = |place: usize| after(NOW - 1 + place as u64 % 3);
        parts.expires_at = match place % 4 {
            0 => Some(offset(place / 4)),
            1 => Some(after(NOW + 14 * 86_400 - 1 + place as u64 / 4 % 3)),
            2 => None,
            _ => parts.expires_at,
        };
        match place % 5 {
            1 => {
                // Also by a clock that is ahead of the others.
                let at = offset(place);
                parts.revocation = Some(Revocation::new(at, RevocationReason::Superseded));
            }
            2 => parts.grace_ends_at = Some(after(NOW + place as u64 % 2)),
            3 if place % 2 == 0 => parts.grace_ends_at = Some(after(NOW + 86_400)),
            _ => {}
        }
        held.push((trial.put(parts).await?, None));
    }
    let mut elsewhere = trial.key(&trial::realm("billing"), "alice");
    elsewhere.id = numbered(20);
    elsewhere.lineage = numbered(NUMBERS[0]);
    elsewhere.digest = KeyDigest::sha256(b"elsewhere");
    trial.put(elsewhere).await?;
    Ok(held)
}

/// Every filter by itself, and some together.
fn filters() -> Vec<ListQuery> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let lineage = numbered(NUMBERS[0]);
    let all = ListQuery::new;
    let scope = |text: &str| Scope::new(text).unwrap_or_else(|error| unreachable!("{error}"));
    let mut filters = vec![
        all(),
        all().unrevoked(),
        all().lineage(lineage),
        all().lineage(lineage).unrevoked(),
        all().lineage(numbered(77)),
        all().subject("alice").lineage(lineage),
        all().subject("alice").lineage(lineage).unrevoked(),
        all().subject("nobody"),
        all().subject("alice").unrevoked(),
        all().in_grace(),
        all().in_grace().state(KeyState::Revoked),
        all().state(KeyState::Expired).state(KeyState::Replaced),
        all().expiring_within(14 * DAY),
        all().expiring_within(Duration::ZERO),
        all().expiring_within(Duration::MAX),
        all().unused_for(7 * DAY),
        all().unused_for(Duration::ZERO),
        all().unused_for(Duration::MAX),
        all().scope(scope("read")).unrevoked(),
        all().scope(scope("read")).state(KeyState::Live),
        all().subject("alice").expiring_within(14 * DAY),
        all().lineage(lineage).unused_for(7 * DAY),
        all().expiring_within(14 * DAY).unused_for(7 * DAY),
        all().id_prefix("000000000").state(KeyState::Live),
    ];
    let states = [
        KeyState::Live,
        KeyState::NotYetValid,
        KeyState::Expired,
        KeyState::Replaced,
        KeyState::Revoked,
    ];
    filters.extend(states.map(|state| all().state(state)));
    let scopes = [
        "read", "write", "read:all", "Read", "re_d", "re%", "wri", "none",
    ];
    filters.extend(scopes.map(|text| all().scope(scope(text))));
    let first = numbered(NUMBERS[1]);
    let first = first.as_str();
    let lower = first.to_lowercase();
    let prefixes = [
        "",
        "0",
        first,
        &first[..11],
        &lower,
        "z",
        "%",
        "_",
        "\u{e1}",
        "0{",
    ];
    filters.extend(prefixes.map(|prefix| all().id_prefix(prefix)));
    filters.extend(SUBJECTS.map(|subject| all().subject(subject)));
    filters
}

/// Every filter, with and without a place to begin after and a limit.
fn queries(records: &[Held]) -> Vec<ListQuery> {
    let place = |place: usize| records.get(place).map(|(record, _)| Cursor::of(record));
    let places = [
        None,
        place(0),
        place(7),
        // The id of no record, and a second in which others were issued.
        Some(Cursor::new(numbered(20), after(86_400))),
        records
            .iter()
            .map(|(record, _)| Cursor::of(record))
            .max_by_key(|place| place.id()),
    ];
    let mut queries = Vec::new();
    for filter in filters() {
        let filter = filter.at(after(NOW));
        for place in places {
            for limit in [None, Some(2), Some(usize::MAX)] {
                let mut query = filter.clone();
                (query.after, query.limit) = (place, limit);
                queries.push(query);
            }
        }
        queries.push(filter.clone().limit(0));
        // Together with a filter that finds the keys by another index.
        queries.push(filter.subject("alice"));
    }
    // A clock that fails reads the last moment of all.
    queries.push(ListQuery::new().at(Timestamp::MAX).state(KeyState::Live));
    queries
}

/// The records that match a query, in order, and how many more there are.
fn due(records: &[Held], query: &ListQuery) -> (Vec<Arc<KeyRecord>>, usize) {
    let matching = records
        .iter()
        .filter(|(record, used)| query.matches(record, *used));
    let mut due: Vec<Arc<KeyRecord>> = matching.map(|(record, _)| record.clone()).collect();
    due.sort_by_key(|record| record.id());
    if query.newest_first {
        due.sort_by_key(|record| Reverse((record.issued_at(), record.id())));
    }
    let all = due.len();
    due.truncate(query.limit.unwrap_or(usize::MAX));
    let more = all - due.len();
    (due, more)
}

async fn answers<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    records: &[Held],
    query: &ListQuery,
) -> Result<(Vec<KeyId>, Option<Cursor>), Violation> {
    let (due, more) = due(records, query);
    let page = trial.page(realm, query).await?;
    let ids: Vec<KeyId> = page.iter().map(|record| record.id()).collect();
    let due_ids: Vec<KeyId> = due.iter().map(|record| record.id()).collect();
    trial.require(
        ids == due_ids,
        format!("list for {query:?} gave {ids:?}; expected {due_ids:?}"),
    )?;
    let same = page.iter().zip(&due).all(|(seen, due)| seen == due);
    trial.require(
        same,
        format!("list for {query:?} gave other records than those committed"),
    )?;
    let next = due
        .last()
        .filter(|_| more > 0)
        .map(|record| Cursor::of(record));
    trial.require(
        page.next() == next,
        format!(
            "list for {query:?} named {:?} as the place of the next page; expected {next:?}",
            page.next()
        ),
    )?;
    Ok((ids, next))
}

/// Reads pages until there is no next, and everything was seen once.
async fn pages<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    records: &[Held],
    query: &ListQuery,
    size: usize,
) -> Result<(), Violation> {
    let mut seen = Vec::new();
    let mut page = query.clone().limit(size);
    loop {
        // Each page is as it must be, so the next begins later, and there is an end.
        let (ids, next) = answers(trial, realm, records, &page).await?;
        seen.extend_from_slice(&ids);
        let Some(next) = next else { break };
        page = page.after(next);
    }
    let (due, _) = due(records, query);
    let due: Vec<KeyId> = due.iter().map(|record| record.id()).collect();
    trial.require(
        seen == due,
        format!("pages of {size} for {query:?} gave {seen:?}; expected {due:?}"),
    )
}

/// Reads pages in an order of the store's, and sees everything once.
async fn pages_in_any_order<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    records: &[Held],
    query: &ListQuery,
    size: usize,
) -> Result<(), Violation> {
    let (due, _) = due(records, query);
    let query = query.clone().in_any_order();
    let mut seen: Vec<Arc<KeyRecord>> = Vec::new();
    let mut page = query.clone().limit(size);
    // A page that is not the last has a key.
    for _ in 0..=records.len() {
        let listed = trial.page(realm, &page).await?;
        let (count, next) = (listed.len(), listed.next());
        trial.require(
            count <= size && (count > 0 || next.is_none()),
            format!("a page of {size} for {query:?} had {count} records, and {next:?} after it"),
        )?;
        seen.extend(listed);
        let Some(next) = next else { break };
        page = page.after(next);
    }
    seen.sort_by_key(|record| record.id());
    trial.require(
        seen == due,
        format!("pages of {size} for {query:?} gave {seen:?}; expected {due:?} in any order"),
    )
}

/// Reads pages while keys are issued, and sees each key that was there at the start once.
async fn pages_beside_new_keys<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    query: &ListQuery,
) -> Result<(), Violation> {
    let before = trial.list(realm, query).await?;
    let mut due: Vec<KeyId> = before.iter().map(|record| record.id()).collect();
    let mut seen = Vec::new();
    let mut page = query.clone().limit(3);
    // Each page has a key that was there at the start, or is the last except for the new keys.
    for number in 0..=2 * due.len() as u64 {
        let listed = trial.page(realm, &page).await?;
        seen.extend(listed.iter().map(|record| record.id()));
        let Some(next) = listed.next() else { break };
        page = page.after(next);
        let mut parts = trial.key(realm, "newcomer");
        let first = match (query.newest_first, query.any_order) {
            (true, _) => 500_000,
            (_, true) => 800_000,
            _ => 200_000,
        };
        let id = number * 997 + first;
        (parts.id, parts.lineage) = (numbered(id), numbered(id));
        parts.digest = KeyDigest::sha256(parts.id.as_str().as_bytes());
        parts.issued_at = after(number * 86_400);
        trial.put(parts).await?;
    }
    seen.retain(|id| due.contains(id));
    seen.sort_unstable();
    due.sort_unstable();
    trial.require(
        seen == due,
        format!("pages for {query:?}, while keys were issued, gave {seen:?}; expected {due:?}"),
    )
}

/// A store that names its realms names those that have records.
async fn realms<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let named = trial.store.realms().await;
    let named = named.map_err(|error| trial::failed("realms", &error))?;
    let due = [trial::realm("billing"), trial::realm("orders")];
    trial.require(
        named.is_empty() || named == due,
        format!("realms named {named:?}; expected {due:?}"),
    )
}
