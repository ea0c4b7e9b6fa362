//! A last use moves forward and changes nothing else.

mod raced;

use tower_api_key::store::{Change, KeyStore, ListQuery, Write};
use tower_api_key::{KeyId, KeyRecord, RevocationReason, Timestamp};

use super::trial::{ISSUED, Trial, after, realm, scopes};
use super::violation::Violation;

/// How many keys one call names: more than a careless store can bind in one statement.
const MANY: u64 = 2_000;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    forward(trial).await?;
    nothing_else(trial).await?;
    unknown(trial).await?;
    late(trial).await?;
    raced::check(trial).await
}

/// Of a key that a purge removes.
pub(super) async fn check_purged<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    no_resurrection(trial).await?;
    raced::by_a_purge(trial).await
}

pub(super) async fn check_refused<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("orders");
    let held = trial.held(&realm, "alice").await?;
    let recorded = trial
        .store
        .record_uses(&realm, &[(held.id(), ISSUED)])
        .await;
    trial.unsupported(recorded, "record_uses")?;
    let uses = trial.store.last_uses(&realm, &[held.id()]).await;
    trial.unsupported(uses, "last_uses")?;
    let page = trial.page(&realm, &ListQuery::new()).await?;
    trial.require(
        page.last_uses().is_none(),
        "list gave last uses, which the store does not keep",
    )
}

async fn forward<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("forward");
    let id = trial.held(&realm, "alice").await?.id();
    let other = trial.held(&realm, "alice").await?.id();
    trial
        .shows_uses(&realm, &[id, other], &[None, None], "before any use")
        .await?;
    for (told, due) in [(10, 10), (5, 10), (10, 10), (11, 11), (0, 11)] {
        trial.record_uses(&realm, &[(id, after(told))]).await?;
        let due = [Some(after(due)), None];
        let when = format!("after a use at {told} s was recorded");
        trial.shows_uses(&realm, &[id, other], &due, &when).await?;
    }
    let several = [
        (id, after(20)),
        (other, after(3)),
        (id, after(40)),
        (id, after(30)),
    ];
    trial.record_uses(&realm, &several).await?;
    let due = [Some(after(40)), Some(after(3))];
    trial
        .shows_uses(&realm, &[id, other], &due, "after several uses of a key")
        .await?;
    trial.record_uses(&realm, &[]).await?;
    trial
        .shows_uses(&realm, &[id, other], &due, "after no use")
        .await
}

/// The record stays as it is, version included. A change of the record keeps its last use.
async fn nothing_else<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("nothing else");
    let issued = trial.held(&realm, "alice").await?;
    let (id, used) = (issued.id(), [Some(after(7))]);
    trial.record_uses(&realm, &[(id, after(7))]).await?;
    trial.shows(&issued, "after a use").await?;
    let narrowed = trial
        .edit(&issued, |parts| parts.scopes = scopes("read"))
        .await?;
    trial
        .shows_uses(&realm, &[id], &used, "after the record changed")
        .await?;
    let write = Write::revoked(&narrowed, RevocationReason::KeyCompromise, after(8));
    let revoked = write.record.clone();
    trial
        .accepts(&Change::new(vec![write]), "a revocation after a use")
        .await?;
    trial
        .shows_uses(&realm, &[id], &used, "after the key was revoked")
        .await?;
    trial.record_uses(&realm, &[(id, after(9))]).await?;
    trial.shows(&revoked, "after a use of a revoked key").await
}

/// Ids that the realm does not know are passed over, and answered in their place.
async fn unknown<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (known, elsewhere) = (realm("known"), realm("elsewhere"));
    let first = trial.held(&known, "alice").await?.id();
    let second = trial.held(&known, "alice").await?.id();
    let stranger = trial.held(&elsewhere, "alice").await?.id();
    let never = KeyRecord::from(trial.key(&known, "alice"));
    let uses = [
        (never.id(), after(1)),
        (second, after(2)),
        (stranger, after(3)),
        (first, after(4)),
    ];
    trial.record_uses(&known, &uses).await?;
    trial.hides(&never, "after a use of an unknown key").await?;
    let ids = [second, never.id(), first, stranger, second, first];
    let (one, two) = (Some(after(4)), Some(after(2)));
    let due = [two, None, one, None, two, one];
    trial
        .shows_uses(&known, &ids, &due, "of known and unknown keys")
        .await?;
    trial
        .shows_uses(&elsewhere, &[stranger], &[None], "in another realm")
        .await?;
    trial
        .shows_uses(&elsewhere, &[first], &[None], "in another realm")
        .await?;
    trial.shows_uses(&known, &[], &[], "of no key").await?;

    let many: Vec<KeyId> = (0..MANY).map(|_| trial.id()).chain([first]).collect();
    let uses: Vec<_> = many.iter().map(|&id| (id, after(50))).collect();
    trial.record_uses(&known, &uses).await?;
    let mut due = vec![None; many.len()];
    due[many.len() - 1] = Some(after(50));
    let seen = trial.last_uses(&known, &many).await?;
    trial.require(
        seen == due,
        format!(
            "of {} keys in one call, last_uses gave other answers",
            many.len()
        ),
    )
}

async fn no_resurrection<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("purged");
    let mut parts = trial.key(&realm, "alice");
    parts.expires_at = Some(after(1));
    let record = trial.put(parts).await?;
    trial.purge(&realm, after(1)).await?;
    trial
        .record_uses(&realm, &[(record.id(), after(2))])
        .await?;
    trial.hides(&record, "after a use of a purged key").await?;
    let when = "after a use of a purged key";
    trial
        .shows_uses(&realm, &[record.id()], &[None], when)
        .await
}

/// A time beyond what every store holds is held exactly, or refused, and nothing moves.
async fn late<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("late");
    let id = trial.held(&realm, "alice").await?.id();
    trial.record_uses(&realm, &[(id, after(1))]).await?;
    let told = Timestamp::from_unix(u64::MAX - 1);
    let due = match trial.store.record_uses(&realm, &[(id, told)]).await {
        Ok(()) => told,
        Err(_) => after(1),
    };
    trial
        .shows_uses(&realm, &[id], &[Some(due)], "after a use beyond an i64")
        .await
}
