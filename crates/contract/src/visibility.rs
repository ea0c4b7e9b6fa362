//! A commit is seen at once.

use tower_api_key::store::KeyStore;
use tower_api_key::{KeyRecord, Revocation, RevocationReason};

use super::race::race;
use super::trial::{Trial, after, realm, scopes};
use super::violation::Violation;

const TASKS: usize = 8;
const KEYS_PER_TASK: usize = 4;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    life_of_a_key(trial).await?;
    beside_others(trial).await
}

async fn life_of_a_key<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let record = KeyRecord::from(trial.key(&realm("orders"), "alice"));
    // Looked up before it is there, so that a store that remembers the answer is found out.
    trial.hides(&record, "before the commit").await?;

    let record = trial.put(record).await?;
    trial.shows(&record, "after a key was issued").await?;

    let narrowed = trial
        .edit(&record, |parts| parts.scopes = scopes("read"))
        .await?;
    trial.shows(&narrowed, "after a key was narrowed").await?;

    let rotated = trial
        .edit(&narrowed, |parts| parts.grace_ends_at = Some(after(60)))
        .await?;
    trial.shows(&rotated, "after a key was rotated").await?;

    let revoked = trial
        .edit(&rotated, |parts| {
            parts.revocation = Some(Revocation::new(after(1), RevocationReason::KeyCompromise));
        })
        .await?;
    trial.shows(&revoked, "after a key was revoked").await
}

/// Each task sees what it committed, while others commit.
async fn beside_others<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let tasks = (0..TASKS).map(|number| {
        let trial = trial.clone();
        async move {
            let realm = realm("busy");
            for _ in 0..KEYS_PER_TASK {
                let issued = trial.held(&realm, &format!("subject {number}")).await?;
                trial.shows(&issued, "right after its commit").await?;
                let narrowed = trial
                    .edit(&issued, |parts| parts.scopes = scopes("read"))
                    .await?;
                trial.shows(&narrowed, "right after its commit").await?;
            }
            Ok(())
        }
    });
    race(tasks.collect()).await.into_iter().collect()
}
