//! A history has an entry for each change that was applied, with its actor, and none is lost or repeated.

use std::collections::HashSet;
use std::fmt::Write as _;

use tower_api_key::store::{
    Change, HistoryEntry, HistoryKind, HistoryPage, HistoryQuery, KeyStore, StoreErrorKind, Target,
    Write,
};
use tower_api_key::{
    Actor, KeyRecord, Label, Metadata, Realm, Revocation, RevocationReason, Timestamp,
};

use super::trial::{EXPIRES, Trial, failed, realm, scopes, valid};
use super::violation::Violation;

/// What people wrote about the key, which no entry repeats.
const WRITTEN: &str = "what-people-wrote";

/// How many keys the pages are about, and how many a page has.
const MANY: usize = 7;
const PAGE: usize = 3;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("orders");
    let none = whole(trial, &orders, &HistoryQuery::new()).await?;
    trial.require(none.is_empty(), "an empty store has a history")?;
    each_change(trial, &orders).await?;
    revocations(trial).await?;
    filters(trial, &orders).await?;
    pages(trial).await?;
    forgotten(trial, &orders).await
}

/// Of a key that a purge removes.
pub(super) async fn check_purged<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (realm, ops) = (realm("purged"), ops());
    let key = trial.held(&realm, "alice").await?;
    let purged = trial.store.purge(&realm, EXPIRES, Some(&ops)).await;
    purged.map_err(|error| failed("purge", &error))?;
    let entries = whole(trial, &realm, &HistoryQuery::new().key(key.id())).await?;
    let seen: Vec<_> = entries.iter().map(|it| (it.kind(), it.actor())).collect();
    let due = [
        (HistoryKind::Removed, Some(&ops)),
        (HistoryKind::Added, None),
    ];
    trial.require(
        seen == due,
        format!("after a purge, the history of its key was {seen:?}; expected {due:?}"),
    )
}

pub(super) async fn check_refused<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("orders");
    trial.held(&realm, "alice").await?;
    let history = trial.store.history(&realm, &HistoryQuery::new()).await;
    trial.unsupported(history, "history")?;
    let forgotten = trial.store.forget_history(&realm, EXPIRES, None).await;
    trial.unsupported(forgotten, "forget_history")
}

fn ops() -> Actor {
    valid(Actor::new("ops@example.com"))
}

async fn page<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    query: &HistoryQuery,
) -> Result<HistoryPage, Violation> {
    let page = trial.store.history(realm, query).await;
    page.map_err(|error| failed("history", &error))
}

async fn whole<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    query: &HistoryQuery,
) -> Result<Vec<HistoryEntry>, Violation> {
    let page = page(trial, realm, query).await?;
    trial.require(
        page.next().is_none(),
        "a history without a limit named a next page",
    )?;
    Ok(page.into_iter().collect())
}

/// What the suite compares of an entry.
type Seen<'a> = (
    HistoryKind,
    Option<&'a Actor>,
    &'a [(&'a str, &'a str, &'a str)],
);

async fn each_change<S: KeyStore>(trial: &Trial<S>, orders: &Realm) -> Result<(), Violation> {
    let ops = ops();
    let mut parts = trial.key(orders, "alice");
    parts.label = Some(valid(Label::new(WRITTEN)));
    parts.metadata = valid(Metadata::new([(WRITTEN, WRITTEN)]));
    let key = KeyRecord::from(parts);
    let added = Change::new(vec![Write::new(key.clone())]).by(Some(&ops));
    trial.accepts(&added, "a new key").await?;
    let again = StoreErrorKind::Duplicate;
    trial.refuses(&added, again, "the same key again").await?;
    let narrowed = trial
        .edit(&key, |parts| parts.scopes = scopes("read"))
        .await?;
    let described = Write::next(&narrowed, |parts| parts.label = None);
    let described_record = described.record.clone();
    let change = Change::new(vec![described]).by(Some(&ops));
    trial.accepts(&change, "another label").await?;
    let replaced = Write::next(&described_record, |parts| {
        parts.grace_ends_at = Some(EXPIRES);
    });
    let replaced_record = replaced.record.clone();
    trial
        .accepts(&Change::new(vec![replaced]), "a grace period")
        .await?;
    let reason = RevocationReason::KeyCompromise;
    let revoked = Write::revoked(&replaced_record, reason, EXPIRES);
    let change = Change::new(vec![revoked]).by(Some(&ops));
    trial.accepts(&change, "a revoked key").await?;

    let expires = EXPIRES.to_rfc3339();
    let due: [Seen<'_>; 5] = [
        (
            HistoryKind::Added,
            Some(&ops),
            &[
                ("scopes", "", "read write"),
                ("version", "", "1"),
                ("expires_at", "", &expires),
            ],
        ),
        (
            HistoryKind::Narrowed,
            None,
            &[("scopes", "read write", "read"), ("version", "1", "2")],
        ),
        (HistoryKind::Described, Some(&ops), &[("version", "2", "3")]),
        (
            HistoryKind::Replaced,
            None,
            &[("grace_ends_at", "", &expires)],
        ),
        (
            HistoryKind::Revoked,
            Some(&ops),
            &[
                ("revoked_at", "", &expires),
                ("revocation_reason", "", "key_compromise"),
            ],
        ),
    ];
    let query = HistoryQuery::new().oldest_first();
    let entries = whole(trial, orders, &query).await?;
    trial.require(
        entries.len() == due.len(),
        format!(
            "{} changes that were applied and one that was refused made {} entries",
            due.len(),
            entries.len()
        ),
    )?;
    for (entry, (kind, actor, fields)) in entries.iter().zip(due) {
        is_about(trial, entry, &key)?;
        trial.require(
            entry.kind() == kind && entry.actor() == actor && !entry.is_by_hand(),
            format!(
                "a change {kind} by {actor:?} is in the history as {} by {:?}",
                entry.kind(),
                entry.actor()
            ),
        )?;
        for &(field, before, after) in fields {
            let value = |fields: &std::collections::BTreeMap<String, String>| {
                fields.get(field).cloned().unwrap_or_default()
            };
            let seen = (value(entry.before()), value(entry.after()));
            trial.require(
                seen == (before.to_owned(), after.to_owned()),
                format!("the history of a change {kind} shows {field} as {seen:?}"),
            )?;
        }
    }
    Ok(())
}

/// Whether an entry is about this key, and holds nothing that must not leave the record.
fn is_about<S: KeyStore>(
    trial: &Trial<S>,
    entry: &HistoryEntry,
    key: &KeyRecord,
) -> Result<(), Violation> {
    trial.require(
        entry.key_id() == Some(key.id())
            && entry.realm() == Some(key.realm())
            && entry.subject() == Some(key.subject().as_str()),
        format!("an entry is not about the key that changed: {entry:?}"),
    )?;
    let text = format!("{entry:?}").to_lowercase();
    let digest = hex(key.digest().as_bytes());
    trial.require(
        !text.contains(&digest) && !text.contains(WRITTEN),
        "an entry has the digest, the label or the metadata of its key",
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A revocation of several keys: an entry for each that it ended.
async fn revocations<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (realm, ops) = (realm("revoked"), ops());
    let (first, second) = (
        trial.held(&realm, "alice").await?,
        trial.held(&realm, "alice").await?,
    );
    let revocation = Revocation::new(EXPIRES, RevocationReason::PrivilegeWithdrawn);
    let target = Target::Subject("alice".to_owned());
    for _ in 0..2 {
        let revoked = trial.store.revoke(&realm, &target, revocation, Some(&ops));
        revoked.await.map_err(|error| failed("revoke", &error))?;
    }
    let entries = whole(trial, &realm, &HistoryQuery::new()).await?;
    let revoked = entries
        .iter()
        .filter(|it| it.kind() == HistoryKind::Revoked);
    let mut ids: Vec<_> = revoked.clone().filter_map(HistoryEntry::key_id).collect();
    ids.sort_unstable();
    trial.require(
        ids == [first.id(), second.id()],
        format!("two keys of a subject were revoked, and the history says {ids:?}"),
    )?;
    for entry in revoked {
        trial.require(
            entry.actor() == Some(&ops),
            "the history of a revocation does not say who asked for it",
        )?;
    }
    Ok(())
}

async fn filters<S: KeyStore>(trial: &Trial<S>, orders: &Realm) -> Result<(), Violation> {
    let bob = trial.held(orders, "bob").await?;
    let all = whole(trial, orders, &HistoryQuery::new()).await?;
    let (Some(newest), Some(oldest)) = (all.first(), all.last()) else {
        return trial.broken("the history of a realm with keys is empty");
    };
    let late = |at: Timestamp| at.checked_add(std::time::Duration::from_secs(1));
    let later = late(newest.at()).unwrap_or(Timestamp::MAX);
    for (query, due) in [
        (HistoryQuery::new().key(bob.id()), 1),
        (HistoryQuery::new().subject("bob"), 1),
        (HistoryQuery::new().subject("Bob"), 0),
        (HistoryQuery::new().subject("alice").key(bob.id()), 0),
        (HistoryQuery::new().since(oldest.at()), all.len()),
        (HistoryQuery::new().since(later), 0),
        (HistoryQuery::new().before(oldest.at()), 0),
        (HistoryQuery::new().before(later), all.len()),
    ] {
        let found = whole(trial, orders, &query).await?;
        let matching = found.iter().filter(|entry| query.matches(entry)).count();
        trial.require(
            found.len() == due && matching == due,
            format!("{query:?} found {} entries; expected {due}", found.len()),
        )?;
    }
    Ok(())
}

async fn pages<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("paged");
    for _ in 0..MANY {
        trial.held(&realm, "alice").await?;
    }
    let newest_first = HistoryQuery::new();
    let oldest_first = HistoryQuery::new().oldest_first();
    let all = whole(trial, &realm, &newest_first).await?;
    let mut backwards = whole(trial, &realm, &oldest_first).await?;
    backwards.reverse();
    let in_order = all.windows(2).all(|pair| pair[0].at() >= pair[1].at());
    trial.require(
        in_order && all == backwards,
        "the two orders of a history are not that of its times and the reverse",
    )?;
    let names: HashSet<_> = all.iter().map(HistoryEntry::place).collect();
    trial.require(
        names.len() == MANY,
        format!("{MANY} entries have {} places", names.len()),
    )?;
    for query in [newest_first, oldest_first] {
        let due = whole(trial, &realm, &query).await?;
        let (mut query, mut read) = (query.limit(PAGE), Vec::new());
        loop {
            let page = page(trial, &realm, &query).await?;
            let next = page.next();
            trial.require(
                page.len() <= PAGE,
                format!("a page of {PAGE} has {} entries", page.len()),
            )?;
            read.extend(page);
            match next {
                Some(next) if read.len() <= due.len() => query = query.after(next),
                _ => break,
            }
        }
        trial.require(read == due, "pages do not show each entry once, in order")?;
    }
    Ok(())
}

async fn forgotten<S: KeyStore>(trial: &Trial<S>, orders: &Realm) -> Result<(), Violation> {
    let (ops, others) = (ops(), realm("paged"));
    let all = whole(trial, orders, &HistoryQuery::new()).await?;
    let beside = whole(trial, &others, &HistoryQuery::new()).await?;
    let (Some(newest), Some(oldest)) = (all.first(), all.last()) else {
        return trial.broken("the history of a realm with keys is empty");
    };
    let forget = async |before| {
        let forgotten = trial.store.forget_history(orders, before, Some(&ops)).await;
        forgotten.map_err(|error| failed("forget_history", &error))
    };
    let count = forget(oldest.at()).await?;
    let kept = whole(trial, orders, &HistoryQuery::new()).await?;
    trial.require(
        count == 0 && kept == all,
        "entries were forgotten that are not from before the time",
    )?;
    let second = std::time::Duration::from_secs(1);
    let later = newest.at().checked_add(second).unwrap_or(Timestamp::MAX);
    let count = forget(later).await?;
    trial.require(
        count == all.len() as u64,
        format!(
            "{} entries were forgotten, and {count} were counted",
            all.len()
        ),
    )?;
    let kept = whole(trial, orders, &HistoryQuery::new()).await?;
    let seen: Vec<_> = kept.iter().map(|it| (it.kind(), it.actor())).collect();
    trial.require(
        seen == [(HistoryKind::Forgotten, Some(&ops))],
        format!("after all entries were forgotten, the history was {seen:?}"),
    )?;
    let others = whole(trial, &others, &HistoryQuery::new()).await?;
    trial.require(
        others == beside,
        "entries of another realm were forgotten too",
    )
}
