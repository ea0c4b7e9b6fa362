//! Checksums are those of the state that they come with.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tower_api_key::KeyRecord;
use tower_api_key::replica::{Feed, Realms, Sums};
use tower_api_key::{Revocation, RevocationReason};

use super::copy::Copy;
use crate::race::race;
use crate::trial::{Trial, after, realm, scopes};
use crate::violation::Violation;

const WRITERS: usize = 4;
const KEYS_PER_WRITER: usize = 12;
const PULLS: usize = 20;
/// How many other keys there are, so that some are in each part but the smallest.
const KEYS: usize = 8;
/// Some of the buckets each, and together all of them.
const PARTS: [RangeInclusive<u8>; 4] = [0..=0, 1..=99, 100..=254, 255..=255];

pub(super) async fn check<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    for (realms, name) in [
        (Realms::all(), "orders"),
        (Realms::only([realm("orders")]), "billing"),
    ] {
        every_field(trial, &realms, name).await?;
    }
    beside_writers(trial).await
}

/// The sums of all records, after each change of a record in the realm of this name.
async fn every_field<S: Feed>(
    trial: &Trial<S>,
    realms: &Realms,
    name: &str,
) -> Result<(), Violation> {
    let orders = realm("orders");
    let mut record: Arc<KeyRecord> = trial.held(&orders, "alice \u{1f511}").await?;
    for _ in 0..KEYS {
        trial.held(&realm(name), "bob").await?;
    }
    for step in 0..4 {
        let copy = Copy::new(trial, realms.clone()).await?;
        for buckets in PARTS.into_iter().chain([0..=u8::MAX]) {
            let seen = copy.ask(None, Some(buckets.clone())).await?;
            agree(trial, seen.sums.as_ref(), &copy.sums_of(&buckets))?;
        }
        let none = copy.ask(None, None).await?;
        trial.require(none.sums.is_none(), "sums came that were not asked for")?;
        record = trial
            .edit(&record, |parts| match step {
                0 => parts.scopes = scopes("read"),
                1 => parts.expires_at = Some(after(500)),
                2 => parts.grace_ends_at = Some(after(400)),
                _ => {
                    parts.revocation =
                        Some(Revocation::new(after(3), RevocationReason::Superseded));
                }
            })
            .await?;
    }
    Ok(())
}

/// Sums that come with changes are those of the copy that has applied them, while others write.
async fn beside_writers<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    let mut tasks = vec![Role::Reader(trial.clone())];
    tasks.extend((0..WRITERS).map(|_| Role::Writer(trial.clone())));
    let tasks = tasks.into_iter().map(Role::play).collect();
    race(tasks).await.into_iter().collect()
}

enum Role<S> {
    Writer(Trial<S>),
    Reader(Trial<S>),
}

impl<S: Feed> Role<S> {
    async fn play(self) -> Result<(), Violation> {
        match self {
            Self::Writer(trial) => {
                for _ in 0..KEYS_PER_WRITER {
                    let record = trial.held(&realm("busy"), "alice").await?;
                    let narrow = trial.edit(&record, |parts| parts.scopes = scopes("read"));
                    narrow.await?;
                }
                Ok(())
            }
            Self::Reader(trial) => {
                let mut copy = Copy::new(&trial, Realms::all()).await?;
                for buckets in PARTS.iter().chain([&(0..=u8::MAX)]).cycle().take(PULLS) {
                    let batch = copy.ask(None, Some(buckets.clone())).await?;
                    trial.require(
                        batch.next.is_none(),
                        "a page with few changes was not the last",
                    )?;
                    let sums = batch.sums.clone();
                    let position = copy.apply(batch, None)?;
                    copy.go_to(position);
                    agree(&trial, sums.as_ref(), &copy.sums_of(buckets))?;
                }
                Ok(())
            }
        }
    }
}

fn agree<S: Feed>(trial: &Trial<S>, seen: Option<&Sums>, expected: &Sums) -> Result<(), Violation> {
    let Some(seen) = seen else {
        return trial.broken("there were no sums");
    };
    let differing = expected.differing(seen);
    trial.require(
        differing.is_empty(),
        format!("the sums of the buckets {differing:?} were not those of the records"),
    )
}
