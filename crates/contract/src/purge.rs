//! A purge removes the records that ended by its time in its realm, all of them and nothing else.

use tower_api_key::store::{Change, KeyStore, StoreErrorKind, Write};
use tower_api_key::{KeyRecordParts, Realm, Revocation, RevocationReason, Timestamp};

use super::trial::{Trial, after, realm};
use super::violation::Violation;

/// The time by which the records must have ended.
const BY: Timestamp = after(1_000);
const BEFORE: Timestamp = after(999);
const BEYOND: Timestamp = after(1_001);

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("orders");
    let none = trial.purge(&orders, BY).await?;
    trial.require(none == 0, format!("purge of an empty realm removed {none}"))?;
    boundary(trial, &orders).await?;
    gone_for_good(trial).await?;
    everything(trial).await
}

pub(super) async fn check_refused<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("orders");
    let held = trial.held(&realm, "alice").await?;
    let purged = trial.store.purge(&realm, Timestamp::MAX, None).await;
    trial.unsupported(purged, "purge")?;
    trial.shows(&held, "after a purge was refused").await
}

fn revoke(parts: &mut KeyRecordParts, at: Timestamp) {
    parts.revocation = Some(Revocation::new(at, RevocationReason::Superseded));
}

async fn boundary<S: KeyStore>(trial: &Trial<S>, orders: &Realm) -> Result<(), Violation> {
    type Edit = fn(&mut KeyRecordParts);
    let ended: [Edit; 8] = [
        |parts| parts.expires_at = Some(BY),
        |parts| parts.expires_at = Some(BEFORE),
        |parts| parts.grace_ends_at = Some(BY),
        |parts| (parts.grace_ends_at, parts.expires_at) = (Some(BEYOND), Some(BY)),
        |parts| (parts.grace_ends_at, parts.expires_at) = (Some(BEFORE), None),
        |parts| revoke(parts, BY),
        // A revocation is the end, even before the expiry.
        |parts| {
            revoke(parts, BEFORE);
            (parts.grace_ends_at, parts.expires_at) = (Some(BEYOND), None);
        },
        |parts| parts.expires_at = Some(Timestamp::from_unix(0)),
    ];
    let kept: [Edit; 6] = [
        |parts| parts.expires_at = None,
        |parts| parts.expires_at = Some(BEYOND),
        |parts| (parts.grace_ends_at, parts.expires_at) = (Some(BEYOND), None),
        |parts| revoke(parts, BEYOND),
        // Its end is the revocation, although its expiry came first.
        |parts| {
            revoke(parts, BEYOND);
            parts.expires_at = Some(BEFORE);
        },
        |parts| (parts.not_before, parts.expires_at) = (BEYOND, None),
    ];
    let (mut gone, mut there) = (Vec::new(), Vec::new());
    for (edits, records) in [(&ended[..], &mut gone), (&kept[..], &mut there)] {
        for edit in edits {
            let mut parts = trial.key(orders, "alice");
            edit(&mut parts);
            records.push(trial.put(parts).await?);
        }
    }
    // Dead as well, in another realm.
    let mut parts = trial.key(&realm("Orders"), "alice");
    parts.expires_at = Some(BEFORE);
    there.push(trial.put(parts).await?);

    let count = trial.purge(orders, BY).await?;
    for record in &gone {
        trial.hides(record, "after a purge by its end").await?;
    }
    for record in &there {
        trial
            .shows(record, "after a purge that is not for it")
            .await?;
    }
    let due = gone.len() as u64;
    trial.require(
        count == due,
        format!("purge removed {due} records and reported {count}"),
    )?;
    let again = trial.purge(orders, BY).await?;
    trial.require(again == 0, format!("a second purge removed {again}"))
}

/// No late write brings back a record that was purged, and its id and digest are free.
async fn gone_for_good<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("gone");
    let mut parts = trial.key(&realm, "alice");
    parts.expires_at = Some(BY);
    let record = trial.put(parts).await?;
    trial.record_uses(&realm, &[(record.id(), BEFORE)]).await?;
    let late = Write::revoked(&record, RevocationReason::KeyCompromise, BEYOND);
    let count = trial.purge(&realm, BY).await?;
    trial.require(
        count == 1,
        format!("purge removed 1 record and reported {count}"),
    )?;

    let what = "a next version of a record that was purged";
    let kind = StoreErrorKind::Conflict;
    trial.refuses(&Change::new(vec![late]), kind, what).await?;
    trial.hides(&record, "after a late write").await?;
    let uses = trial.last_uses(&realm, &[record.id()]).await?;
    trial.require(uses == [None], "last_uses knew a record that was purged")?;

    let again = trial.put(record).await?;
    trial.shows(&again, "once it was put again").await?;
    let uses = trial.last_uses(&realm, &[again.id()]).await?;
    trial.require(
        uses == [None],
        "last_uses knew a use of the record that was purged before",
    )
}

/// By the last of all moments, every record that has an end has ended.
async fn everything<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("everything");
    let mut endless = trial.key(&realm, "alice");
    endless.expires_at = None;
    let endless = trial.put(endless).await?;
    let ending = trial.held(&realm, "alice").await?;
    let count = trial.purge(&realm, Timestamp::from_unix(0)).await?;
    trial.require(count == 0, format!("purge by the epoch removed {count}"))?;
    let count = trial.purge(&realm, Timestamp::MAX).await?;
    trial.require(
        count == 1,
        format!("purge by the last moment removed {count} of 1 record with an end"),
    )?;
    trial
        .hides(&ending, "after a purge by the last moment")
        .await?;
    trial
        .shows(&endless, "after a purge, of a key without an end,")
        .await
}
