//! Uses that are recorded while others are, and while their key ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tower_api_key::store::{BoxFuture, Change, KeyStore, Write};
use tower_api_key::{KeyRecord, RevocationReason};

use super::super::race::race;
use super::super::trial::{Trial, after, realm};
use super::super::violation::Violation;

const CONTENDERS: u64 = 8;
const ROUNDS: u64 = CONTENDERS;
/// How many keys are used while they end, in each way.
const DUELS: usize = 12;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    by_uses(trial).await?;
    by_a_revocation(trial).await
}

async fn by_uses<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("raced");
    let id = trial.held(&realm, "alice").await?.id();
    for round in 1..=ROUNDS {
        let contenders = (0..CONTENDERS).map(|number| {
            let (trial, realm) = (trial.clone(), realm.clone());
            // Each contender is once the one with the latest.
            let at = after(100 * round + (number + round) % CONTENDERS);
            async move { trial.record_uses(&realm, &[(id, at)]).await }
        });
        race(contenders.collect())
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        let latest = after(100 * round + CONTENDERS - 1);
        trial
            .shows_uses(&realm, &[id], &[Some(latest)], "after uses at once")
            .await?;
    }
    Ok(())
}

/// In either order, the record is as the revocation left it, and the use is known.
async fn by_a_revocation<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    for duel in 0..DUELS {
        let realm = realm(&format!("revoked {duel}"));
        let held = trial.held(&realm, "alice").await?;
        let write = Write::revoked(&held, RevocationReason::KeyCompromise, after(2));
        let revoked = write.record.clone();
        let change = Change::new(vec![write]);
        let revoking = trial.clone();
        let revoke = async move { revoking.accepts(&change, "a revocation during a use").await };
        use_beside(trial, duel, &held, Box::pin(revoke)).await?;
        let when = "after a use during the revocation of its key";
        trial.shows(&revoked, when).await?;
        trial
            .shows_uses(&realm, &[held.id()], &[Some(after(1))], when)
            .await?;
    }
    Ok(())
}

/// In either order, the record is gone, and its use with it.
pub(super) async fn by_a_purge<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    for duel in 0..DUELS {
        let realm = realm(&format!("purged {duel}"));
        let mut parts = trial.key(&realm, "alice");
        parts.expires_at = Some(after(2));
        let held = trial.put(parts).await?;
        let (purging, purged) = (trial.clone(), realm.clone());
        let removed = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&removed);
        let purge = async move {
            let count = purging.purge(&purged, after(2)).await?;
            told.store(count, Ordering::Relaxed);
            Ok(())
        };
        use_beside(trial, duel, &held, Box::pin(purge)).await?;
        // A record that the use held at that moment may be left for the next purge.
        if removed.load(Ordering::Relaxed) == 0 {
            trial.purge(&realm, after(2)).await?;
        }
        trial
            .hides(&held, "after a use during the purge of its key")
            .await?;
        let again = trial.put(held).await?;
        let when = "after a key was purged during a use and put again";
        trial
            .shows_uses(&realm, &[again.id()], &[None], when)
            .await?;
    }
    Ok(())
}

/// Records a use of the key during another operation.
async fn use_beside<S: KeyStore>(
    trial: &Trial<S>,
    duel: usize,
    key: &KeyRecord,
    other: BoxFuture<'static, Result<(), Violation>>,
) -> Result<(), Violation> {
    let (using, realm, id) = (trial.clone(), key.realm().clone(), key.id());
    let used = async move { using.record_uses(&realm, &[(id, after(1))]).await };
    let contenders: [BoxFuture<'static, _>; 2] = [Box::pin(used), other];
    let contenders = contenders
        .into_iter()
        .zip(0..)
        .map(|(act, contender)| async move {
            // Neither side is always the first.
            for _ in 0..(duel + contender) % 3 {
                tokio::task::yield_now().await;
            }
            act.await
        });
    race(contenders.collect()).await.into_iter().collect()
}
