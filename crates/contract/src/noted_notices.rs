//! A notice of expiry that was claimed is an entry of the history, once.

use tower_api_key::store::{
    Change, ExpiryNotice, HistoryEntry, HistoryKind, HistoryQuery, KeyStore, Write,
};
use tower_api_key::{Realm, RevocationReason, Timestamp};

use super::expiry_notices::{DAY, MANY, RACED, before, claim, claimed_at_once, ladder, notice};
use super::trial::{EXPIRES, Trial, failed, realm};
use super::violation::Violation;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    each_step(trial).await?;
    raced(trial).await
}

/// The notices in a history, in their order.
async fn noted<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
) -> Result<Vec<ExpiryNotice>, Violation> {
    let page = trial.store.history(realm, &HistoryQuery::new()).await;
    let page = page.map_err(|error| failed("history", &error))?;
    let mut notices = Vec::new();
    let entries = page.iter();
    for entry in entries.filter(|entry| entry.kind() == HistoryKind::ExpiryNoticed) {
        trial.require(
            is_of_a_ring(entry, realm),
            format!("the entry of a notice is not one of a ring in its realm: {entry:?}"),
        )?;
        let notice = entry.expiry_notice();
        let Some(notice) = notice else {
            return trial.broken(format!("the entry of a notice says of none: {entry:?}"));
        };
        notices.push(notice);
    }
    notices.sort();
    Ok(notices)
}

fn is_of_a_ring(entry: &HistoryEntry, realm: &Realm) -> bool {
    entry.realm() == Some(realm) && !entry.is_by_hand() && entry.before().is_empty()
}

/// Requires that the history has these notices and no others.
async fn has<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    claimed: &mut [ExpiryNotice],
    when: &str,
) -> Result<(), Violation> {
    claimed.sort();
    let noted = noted(trial, realm).await?;
    trial.require(
        noted == claimed,
        format!("{when}, the history has the notices {noted:?}; claimed were {claimed:?}"),
    )
}

/// Also of keys that have no notice: one that was issued for less, one that is revoked and one that was replaced.
async fn each_step<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("noted");
    let held = trial.held(&realm, "alice").await?;
    let ended = trial.held(&realm, "bob").await?;
    let mut short = trial.key(&realm, "carol");
    short.issued_at = Timestamp::from_unix(EXPIRES.as_unix() - DAY / 2);
    short.not_before = short.issued_at;
    trial.put(short).await?;
    let replaced = trial.held(&realm, "dave").await?;
    let grace = |parts: &mut tower_api_key::KeyRecordParts| parts.grace_ends_at = Some(EXPIRES);
    trial.edit(&replaced, grace).await?;

    let mut due = vec![notice(&ended, 30)];
    for step in [30, 7, 1] {
        due.push(notice(&held, step));
        for time in ["first", "second"] {
            claim(trial, &realm, &ladder(), before(step), MANY).await?;
            let when = format!("after the {time} claim at the step of {step} days");
            has(trial, &realm, &mut due, &when).await?;
        }
        if step == 30 {
            let write = Write::revoked(&ended, RevocationReason::Superseded, before(20));
            let change = Change::new(vec![write]);
            trial.accepts(&change, "a revocation").await?;
        }
    }
    trial.shows(&held, "after its notices").await
}

/// However many claim at once, the history has what they were given.
async fn raced<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("noted in a race");
    for _ in 0..RACED {
        trial.held(&realm, "alice").await?;
    }
    let mut claimed = Vec::new();
    for step in [30, 7, 1] {
        claimed.extend(claimed_at_once(trial, &realm, step).await?);
        let when = format!("after claims in several tasks at once at the step of {step} days");
        has(trial, &realm, &mut claimed, &when).await?;
    }
    trial.require(
        claimed.len() == 3 * RACED,
        format!("{} notices of {RACED} keys were claimed", claimed.len()),
    )
}
