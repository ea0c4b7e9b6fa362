//! A write applies only to the version, and the identity, that it expects.

use std::sync::Arc;

use tower_api_key::store::{Change, Expected, KeyStore, StoreErrorKind, Write};
use tower_api_key::{KeyDigest, KeyId, KeyRecord, KeyRecordParts, Timestamp};

use super::race::race;
use super::trial::{self, EXPIRES, Trial, numbered, realm, scopes, subject};
use super::violation::Violation;

const ROUNDS: usize = 12;
const CONTENDERS: usize = 8;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    versions(trial).await?;
    identity(trial).await?;
    one_of_several(trial).await?;
    raced(trial).await
}

async fn conflicts<S: KeyStore>(
    trial: &Trial<S>,
    writes: Vec<Write>,
    what: &str,
) -> Result<(), Violation> {
    let change = Change::new(writes);
    trial.refuses(&change, StoreErrorKind::Conflict, what).await
}

/// The record with an end of its own, the earlier the higher this number is, for the version that
/// is expected.
fn marked(record: &KeyRecord, number: u64, expected: u64) -> Write {
    let end = Timestamp::from_unix(EXPIRES.as_unix() - number);
    let mut write = Write::next(record, |parts| parts.expires_at = Some(end));
    write.expected = Expected::Version(expected);
    write
}

async fn versions<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let first = trial.held(&realm("orders"), "alice").await?;
    let second = trial
        .edit(&first, |parts| parts.scopes = scopes("read"))
        .await?;
    for expected in [0, 1, 3, u64::MAX] {
        let write = marked(&second, 1, expected);
        let what = format!("a write that expects version {expected} of a record at version 2");
        conflicts(trial, vec![write], &what).await?;
        trial
            .shows(&second, "after a stale write was refused")
            .await?;
    }
    let absent = KeyRecord::from(trial.key(&realm("orders"), "alice"));
    let write = marked(&absent, 1, 1);
    conflicts(
        trial,
        vec![write],
        "a next version of a record that does not exist",
    )
    .await?;
    trial
        .hides(&absent, "after its next version was refused")
        .await?;
    trial
        .edit(&second, |parts| parts.grace_ends_at = Some(EXPIRES))
        .await?;
    Ok(())
}

/// An id at the expected version whose digest, realm, subject or lineage is another.
async fn identity<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    type Edit = fn(&mut KeyRecordParts);
    let held = trial.held(&realm("orders"), "alice").await?;
    let neighbour = trial.held(&realm("orders"), "bob").await?;
    let edits: [(&str, Edit); 5] = [
        ("digest", |parts| {
            parts.digest = KeyDigest::sha256(b"another");
        }),
        ("realm", |parts| parts.realm = realm("billing")),
        ("subject", |parts| parts.subject = subject("bob")),
        ("case of the subject", |parts| {
            parts.subject = subject("Alice");
        }),
        ("lineage", |parts| {
            parts.lineage = numbered(0);
        }),
    ];
    for (field, edit) in edits {
        let write = Write::next(&held, edit);
        let changed = write.record.clone();
        let what = format!("a write that changes the {field} of a record");
        conflicts(trial, vec![write], &what).await?;
        trial.shows(&held, "after a write was refused").await?;
        if changed.digest() != held.digest() || changed.realm() != held.realm() {
            let found = trial.find(changed.realm(), changed.digest()).await?;
            let seen = format!("a write that changes the {field} of a record was refused and seen");
            trial.require(found.is_none(), seen)?;
        }
    }
    let write = Write::next(&held, |parts| parts.digest = *neighbour.digest());
    let change = Change::new(vec![write]);
    let outcome = trial.store.commit(&change).await;
    trial.require(
        outcome.is_err(),
        "a write took the digest of another record",
    )?;
    trial
        .shows(&neighbour, "after another wanted its digest")
        .await
}

/// One stale write refuses them all, wherever it stands.
async fn one_of_several<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    for stale in 0..3 {
        let mut writes = Vec::new();
        for place in 0..3 {
            let held = trial.held(&realm("orders"), "alice").await?;
            let expected = if place == stale { 2 } else { 1 };
            writes.push(marked(&held, 1, expected));
        }
        conflicts(trial, writes, "a change with one stale write").await?;
    }
    Ok(())
}

/// Of many that expect one version one wins: with one record, and with two, which half of them
/// write in the other order.
async fn raced<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let mut records = [
        trial.held(&realm("orders"), "alice").await?,
        trial.held(&realm("orders"), "alice").await?,
    ];
    for round in 0..ROUNDS {
        let written = if round % 2 == 0 { 1 } else { 2 };
        let changes: Vec<Change> = (0..CONTENDERS)
            .map(|number| {
                let mark = (round * CONTENDERS + number + 1) as u64;
                let mut writes: Vec<Write> = records[..written]
                    .iter()
                    .map(|record| marked(record, mark, record.version()))
                    .collect();
                if number % 2 == 1 {
                    writes.reverse();
                }
                Change::new(writes)
            })
            .collect();
        let contenders = changes.iter().cloned().map(|change| {
            let trial = trial.clone();
            async move { trial.store.commit(&change).await }
        });
        let mut winners = Vec::new();
        for (number, outcome) in race(contenders.collect()).await.into_iter().enumerate() {
            match outcome {
                Ok(()) => winners.push(number),
                Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                    return Err(trial::failed("commit during other writes", &error));
                }
                Err(error) => trial.require(
                    error.kind() == StoreErrorKind::Conflict,
                    format!(
                        "a write that came too late was refused as {:?}",
                        error.kind()
                    ),
                )?,
            }
        }
        let &[winner] = &winners[..] else {
            return trial.broken(format!(
                "{CONTENDERS} tasks changed one version at once, and {} succeeded",
                winners.len()
            ));
        };
        for record in &mut records[..written] {
            let Some(next) = written_in(&changes[winner], record.id()) else {
                continue;
            };
            *record = next.clone();
            trial.shows(record, "after a race for its version").await?;
        }
    }
    Ok(())
}

/// The record of this id as the change leaves it.
fn written_in(change: &Change, id: KeyId) -> Option<&Arc<KeyRecord>> {
    let mut records = change.writes().iter().map(|write| &write.record);
    records.find(|record| record.id() == id)
}
