//! What was committed before a question is in its answer, or was there before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tower_api_key::replica::{Feed, Realms};
use tower_api_key::store::{StoreErrorKind, Target};
use tower_api_key::{KeyRecord, Revocation, RevocationReason};

use super::copy::Copy;
use crate::race::race;
use crate::trial::{EXPIRES, Trial, after, failed, realm, scopes};
use crate::violation::Violation;

const WRITERS: usize = 6;
const KEYS_PER_WRITER: usize = 12;
const PULLS: usize = 60;

pub(super) async fn check<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    life_of_a_key(trial).await?;
    realms(trial).await?;
    beside_writers(trial).await
}

async fn life_of_a_key<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("orders");
    let before = trial.held(&orders, "alice").await?;
    let mut copy = Copy::new(trial, Realms::all()).await?;
    copy.shows(&before, "in a copy of what was there")?;

    let issued = trial.held(&orders, "alice").await?;
    copy.pull().await?;
    copy.shows(&issued, "after a key was issued")?;

    let narrowed = trial
        .edit(&issued, |parts| parts.scopes = scopes("read"))
        .await?;
    copy.pull().await?;
    copy.shows(&narrowed, "after a key was narrowed")?;

    let target = Target::Subject("alice".to_owned());
    let revocation = Revocation::new(after(7), RevocationReason::KeyCompromise);
    let revoked = trial.store.revoke(&orders, &target, revocation, None).await;
    revoked.map_err(|error| failed("revoke", &error))?;
    copy.pull().await?;
    for record in [&before, &narrowed] {
        let is_revoked = |seen: &Arc<KeyRecord>| seen.revocation() == Some(revocation);
        trial.require(
            copy.get(record).is_some_and(is_revoked),
            "after a subject was revoked, the changes did not bring the revocation",
        )?;
    }
    match trial.store.purge(&orders, EXPIRES, None).await {
        Ok(_) => {
            copy.pull().await?;
            copy.hides(&before, "after a purge")
        }
        Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(()),
        Err(error) => Err(failed("purge", &error)),
    }
}

async fn realms<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("orders"), realm("billing"));
    let early = trial.held(&billing, "bob").await?;
    let mut copy = Copy::new(trial, Realms::only([orders.clone()])).await?;
    let late = trial.held(&billing, "bob").await?;
    let own = trial.held(&orders, "bob").await?;
    copy.pull().await?;
    copy.shows(&own, "after a key of a realm that was asked for was issued")?;
    let mut all = Copy::new(trial, Realms::all()).await?;
    all.pull().await?;
    for record in [&early, &late, &own] {
        all.shows(record, "in a copy of all realms")?;
    }
    Ok(())
}

/// The last acknowledged version of each key.
type Acknowledged = Arc<Mutex<BTreeMap<[u8; 32], u64>>>;

/// A reader asks again and again, while writers commit.
async fn beside_writers<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    let acknowledged = Acknowledged::default();
    let mut tasks = Vec::new();
    for number in 0..WRITERS {
        tasks.push(Role::Writer(
            number,
            trial.clone(),
            Arc::clone(&acknowledged),
        ));
    }
    tasks.push(Role::Reader(trial.clone(), acknowledged));
    let tasks = tasks.into_iter().map(Role::play).collect();
    race(tasks).await.into_iter().collect()
}

enum Role<S> {
    Writer(usize, Trial<S>, Acknowledged),
    Reader(Trial<S>, Acknowledged),
}

impl<S: Feed> Role<S> {
    async fn play(self) -> Result<(), Violation> {
        match self {
            Self::Writer(number, trial, acknowledged) => {
                let note = |record: &KeyRecord| {
                    let mut noted = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                    noted.insert(*record.digest().as_bytes(), record.version());
                };
                let busy = realm("busy");
                for _ in 0..KEYS_PER_WRITER {
                    let record = trial.held(&busy, &format!("subject {number}")).await?;
                    note(&record);
                    let next = trial.edit(&record, |parts| parts.scopes = scopes("read"));
                    let next = next.await?;
                    note(&next);
                }
                Ok(())
            }
            Self::Reader(trial, acknowledged) => {
                let mut copy = Copy::new(&trial, Realms::all()).await?;
                for _ in 0..PULLS {
                    let due = acknowledged
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    copy.pull().await?;
                    for (digest, version) in due {
                        trial.require(
                            copy.version(&digest) >= Some(version),
                            "a commit that was acknowledged before a question for changes was not in the answer",
                        )?;
                    }
                }
                Ok(())
            }
        }
    }
}
