//! An id and a digest are in one record at most.

use tower_api_key::store::{Change, KeyStore, StoreErrorKind, Write};
use tower_api_key::{KeyRecordParts, RevocationReason};

use super::race::race;
use super::trial::{Trial, realm};
use super::{Violation, trial};

const ROUNDS: usize = 8;
const CONTENDERS: usize = 8;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    taken(trial).await?;
    taken_by_the_dead(trial).await?;
    twice_in_one_change(trial).await?;
    raced(trial).await
}

fn issue(parts: KeyRecordParts) -> Change {
    Change::new(vec![Write::new(parts)])
}

async fn taken<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let held = trial.held(&realm("orders"), "alice").await?;
    for other in ["orders", "billing"] {
        let other = realm(other);
        let mut same_id = trial.key(&other, "bob");
        same_id.id = held.id();
        same_id.lineage = held.id();
        let what = format!("a second record of an id, in {other:?}");
        refused(trial, &issue(same_id), &what).await?;

        let mut same_digest = trial.key(&other, "bob");
        same_digest.digest = *held.digest();
        let absent = same_digest.id;
        let what = format!("a second record of a digest, in {other:?}");
        refused(trial, &issue(same_digest), &what).await?;
        let got = trial.get(&other, absent).await?;
        trial.require(got.is_none(), format!("{what}, was refused and is there"))?;

        refused(
            trial,
            &issue(held.to_parts()),
            "a record that is there already",
        )
        .await?;
        trial.shows(&held, "after a duplicate was refused").await?;
    }
    Ok(())
}

async fn taken_by_the_dead<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let held = trial.held(&realm("orders"), "alice").await?;
    let write = Write::revoked(&held, RevocationReason::KeyCompromise, held.issued_at());
    let revoked = write.record.clone();
    trial
        .accepts(&Change::new(vec![write]), "a revocation")
        .await?;
    let mut again = trial.key(held.realm(), "alice");
    again.digest = *held.digest();
    refused(
        trial,
        &issue(again),
        "a new key with a revoked key's digest",
    )
    .await?;
    refused(trial, &issue(held.to_parts()), "a revoked key as a new one").await?;
    trial.shows(&revoked, "after a duplicate was refused").await
}

async fn twice_in_one_change<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("orders"), realm("billing"));
    for other in [&orders, &billing] {
        let first = trial.key(&orders, "alice");
        let mut same_digest = trial.key(other, "bob");
        same_digest.digest = first.digest;
        let mut same_id = trial.key(other, "bob");
        same_id.id = first.id;
        for (second, what) in [(same_digest, "digest"), (same_id, "id")] {
            let change = Change::new(vec![Write::new(first.clone()), Write::new(second)]);
            let what = format!("a change that brings one {what} twice");
            refused(trial, &change, &what).await?;
        }
    }
    Ok(())
}

async fn raced<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realms = [realm("orders"), realm("billing")];
    for round in 0..ROUNDS {
        let digest = trial.key(&realms[0], "alice").digest;
        let id = trial.id();
        let contenders = (0..CONTENDERS).map(|number| {
            let mut parts = trial.key(&realms[number % 2], "alice");
            if round % 2 == 0 {
                parts.digest = digest;
            } else {
                parts.id = id;
                parts.lineage = id;
            }
            let (trial, change) = (trial.clone(), issue(parts));
            async move { trial.store.commit(&change).await }
        });
        let outcomes = race(contenders.collect()).await;
        let mut winners = 0;
        for outcome in outcomes {
            match outcome {
                Ok(()) => winners += 1,
                Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                    return Err(trial::failed("commit", &error));
                }
                Err(error) => trial.require(
                    error.kind() == StoreErrorKind::Duplicate,
                    format!("of two like new keys one was refused as {:?}", error.kind()),
                )?,
            }
        }
        trial.require(
            winners == 1,
            format!("{CONTENDERS} tasks issued one id or digest at once, and {winners} succeeded"),
        )?;
    }
    Ok(())
}

async fn refused<S: KeyStore>(
    trial: &Trial<S>,
    change: &Change,
    what: &str,
) -> Result<(), Violation> {
    trial.refuses(change, StoreErrorKind::Duplicate, what).await
}
