//! A notice of expiry is claimed once, and only of a key that needs one.

use std::collections::BTreeSet;
use std::time::Duration;

use tower_api_key::store::{Change, ExpiryClaims, ExpiryLadder, ExpiryNotice, KeyStore, Write};
use tower_api_key::{KeyId, KeyRecord, Realm, RevocationReason, Timestamp};

use super::race::race;
use super::trial::{EXPIRES, ISSUED, Trial, failed, realm, valid};
use super::violation::Violation;

pub(super) const DAY: u64 = 24 * 60 * 60;
/// More than are due at once.
pub(super) const MANY: usize = 1_000;

/// How many keys are due when tasks race for them, and for how many each asks at once.
pub(super) const RACED: usize = 60;
const AT_ONCE: usize = 7;
const TASKS: usize = 8;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    once_for_each_step(trial).await?;
    nothing_else(trial).await?;
    nearest(trial).await?;
    not_due(trial).await?;
    issued_for_less(trial).await?;
    pages(trial).await?;
    changed(trial).await?;
    other_steps(trial).await?;
    raced(trial).await
}

/// With the record, its claims are gone.
pub(super) async fn check_purged<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("purged");
    let held = trial.held(&realm, "alice").await?;
    told(trial, &realm, before(7), &[(&held, 7)], "a week before").await?;
    trial.purge(&realm, EXPIRES).await?;
    let again = trial.put(held.to_parts()).await?;
    let when = "after the key was purged and put again";
    told(trial, &realm, before(7), &[(&again, 7)], when).await
}

pub(super) async fn check_refused<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("orders");
    trial.held(&realm, "alice").await?;
    let ladder = ladder();
    let claimed = trial
        .store
        .claim_expiry_notices(&realm, &ladder, before(1), MANY);
    trial.unsupported(claimed.await, "claim_expiry_notices")
}

/// 30 days, 7 days and 1 day.
pub(super) fn ladder() -> ExpiryLadder {
    ExpiryLadder::default()
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * DAY)
}

/// So many days before the keys of the suite expire.
pub(super) const fn before(days: u64) -> Timestamp {
    Timestamp::from_unix(EXPIRES.as_unix() - days * DAY)
}

const fn a_second_before(moment: Timestamp) -> Timestamp {
    Timestamp::from_unix(moment.as_unix() - 1)
}

pub(super) async fn claim<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    steps: &ExpiryLadder,
    now: Timestamp,
    limit: usize,
) -> Result<ExpiryClaims, Violation> {
    let claimed = trial
        .store
        .claim_expiry_notices(realm, steps, now, limit)
        .await;
    claimed.map_err(|error| failed("claim_expiry_notices", &error))
}

/// Requires that these keys, each with the days of its step, and no others have notices at this time.
async fn told<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    now: Timestamp,
    due: &[(&KeyRecord, u64)],
    when: &str,
) -> Result<(), Violation> {
    let claims = claim(trial, realm, &ladder(), now, MANY).await?;
    let mut expected: Vec<ExpiryNotice> =
        due.iter().map(|(key, step)| notice(key, *step)).collect();
    expected.sort();
    trial.require(
        claims.notices == expected,
        format!(
            "{when}, {:?} were claimed; expected {expected:?}",
            claims.notices
        ),
    )?;
    trial.require(
        !claims.more,
        format!("{when}, one page said that there are more"),
    )
}

pub(super) fn notice(key: &KeyRecord, step: u64) -> ExpiryNotice {
    let expires_at = key.expires_at().unwrap_or(Timestamp::MAX);
    ExpiryNotice::new(
        key.id(),
        Some(key.subject().to_string()),
        expires_at,
        days(step),
    )
}

async fn once_for_each_step<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("once");
    let held = trial.held(&realm, "alice").await?;
    for step in [30, 7, 1] {
        let when = format!("a second before the step of {step} days");
        told(trial, &realm, a_second_before(before(step)), &[], &when).await?;
        let when = format!("at the step of {step} days");
        told(trial, &realm, before(step), &[(&held, step)], &when).await?;
        let when = format!("at the step of {step} days for the second time");
        told(trial, &realm, before(step), &[], &when).await?;
    }
    told(
        trial,
        &realm,
        a_second_before(EXPIRES),
        &[],
        "a second before the end",
    )
    .await?;
    let none = valid(ExpiryLadder::new([]));
    let claims = claim(trial, &realm, &none, before(1), MANY).await?;
    trial.require(
        claims.notices.is_empty(),
        "without a step, a notice was claimed",
    )
}

/// Of several steps that have passed unseen, only the nearest has a notice, and the wider ones never do.
async fn nearest<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("nearest");
    let held = trial.held(&realm, "alice").await?;
    let when = "two days before the end, for the first time";
    told(trial, &realm, before(2), &[(&held, 7)], when).await?;
    told(
        trial,
        &realm,
        before(2),
        &[],
        "two days before the end, again",
    )
    .await?;
    let when = "after a nearer step, by a clock that was set back";
    told(trial, &realm, before(20), &[], when).await?;
    told(
        trial,
        &realm,
        before(1),
        &[(&held, 1)],
        "a day before the end",
    )
    .await
}

/// A key that is revoked, was replaced, has expired or never does, and one of another realm.
async fn not_due<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (realm, other) = (realm("not due"), realm("elsewhere"));
    let revoked = trial.held(&realm, "alice").await?;
    let write = Write::revoked(&revoked, RevocationReason::KeyCompromise, before(40));
    let change = Change::new(vec![write]);
    trial.accepts(&change, "a revocation").await?;
    let replaced = trial.held(&realm, "bob").await?;
    let grace = |parts: &mut tower_api_key::KeyRecordParts| parts.grace_ends_at = Some(before(0));
    trial.edit(&replaced, grace).await?;
    let mut endless = trial.key(&realm, "carol");
    endless.expires_at = None;
    trial.put(endless).await?;
    let stranger = trial.held(&other, "dave").await?;
    told(trial, &realm, before(1), &[], "of keys that are not due").await?;

    let expired = trial.held(&realm, "erin").await?;
    told(trial, &realm, EXPIRES, &[], "at the end of a key").await?;
    let later = Timestamp::from_unix(EXPIRES.as_unix() + DAY);
    told(trial, &realm, later, &[], "after the end of a key").await?;
    told(
        trial,
        &realm,
        Timestamp::from_unix(u64::MAX - 1),
        &[],
        "at the end of time",
    )
    .await?;
    // None of this has claimed anything.
    told(
        trial,
        &realm,
        before(7),
        &[(&expired, 7)],
        "before the end of a key",
    )
    .await?;
    told(
        trial,
        &other,
        before(7),
        &[(&stranger, 7)],
        "in another realm",
    )
    .await?;
    let end = RevocationReason::Unspecified;
    let write = Write::revoked(&expired, end, before(2));
    trial
        .accepts(&Change::new(vec![write]), "a revocation")
        .await?;
    told(
        trial,
        &realm,
        before(1),
        &[],
        "of a key that was revoked after a step",
    )
    .await
}

/// A step counts if the key was issued before it began.
async fn issued_for_less<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("less");
    let mut keys = Vec::new();
    for life in [DAY / 2, DAY, DAY + 1, 30 * DAY, 30 * DAY + 1] {
        let mut parts = trial.key(&realm, "alice");
        parts.issued_at = Timestamp::from_unix(EXPIRES.as_unix() - life);
        parts.not_before = parts.issued_at;
        keys.push(trial.put(parts).await?);
    }
    let [_, _, day, month, over_a_month] = &keys[..] else {
        unreachable!("there are five");
    };
    let when = "30 days before the end of keys that were issued for less and for more";
    told(trial, &realm, before(30), &[(over_a_month, 30)], when).await?;
    let when = "seven days before the end of keys that were issued for less and for more";
    told(
        trial,
        &realm,
        before(7),
        &[(month, 7), (over_a_month, 7)],
        when,
    )
    .await?;
    let when = "a day before the end of keys that were issued for less and for more";
    let due = [(&**day, 1), (&**month, 1), (&**over_a_month, 1)];
    told(trial, &realm, before(1), &due, when).await
}

/// Pages reach every key once, beyond those whose step does not count too.
async fn pages<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("pages");
    let mut due = BTreeSet::new();
    for number in 0..25 {
        let mut parts = trial.key(&realm, "alice");
        if number < 15 {
            // They come first, and are due for the step, but were issued for less.
            parts.issued_at = before(3);
            parts.expires_at = Some(a_second_before(EXPIRES));
        } else {
            due.insert(parts.id);
        }
        trial.put(parts).await?;
    }
    let mut seen = Vec::new();
    for _ in 0..25 {
        let claims = claim(trial, &realm, &ladder(), before(3), 4).await?;
        trial.require(
            claims.notices.len() <= 4,
            format!("a page of four had {} notices", claims.notices.len()),
        )?;
        seen.extend(claims.notices.iter().map(|notice| notice.id));
        if !claims.more {
            break;
        }
    }
    is_each_once(trial, &seen, &due, "in pages of four")
}

fn is_each_once<S: KeyStore>(
    trial: &Trial<S>,
    seen: &[KeyId],
    due: &BTreeSet<KeyId>,
    when: &str,
) -> Result<(), Violation> {
    let distinct: BTreeSet<KeyId> = seen.iter().copied().collect();
    trial.require(
        seen.len() == distinct.len(),
        format!(
            "{when}, {} notices of {} keys were claimed",
            seen.len(),
            distinct.len()
        ),
    )?;
    trial.require(
        distinct == *due,
        format!("{when}, {} keys of {} were told", distinct.len(), due.len()),
    )
}

/// The record stays as it is, version included.
async fn nothing_else<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("nothing else");
    let held = trial.held(&realm, "alice").await?;
    told(trial, &realm, before(30), &[(&held, 30)], "a month before").await?;
    trial.shows(&held, "after a claim").await
}

/// A change of the record keeps its claims. After an earlier expiry the notice is that of the step that is the nearest then.
async fn changed<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("changed");
    let held = trial.held(&realm, "alice").await?;
    told(trial, &realm, before(30), &[(&held, 30)], "a month before").await?;
    let narrowed = trial
        .edit(&held, |parts| parts.scopes = super::trial::scopes("read"))
        .await?;
    told(trial, &realm, before(29), &[], "after the record changed").await?;
    let sooner = trial
        .edit(&narrowed, |parts| parts.expires_at = Some(before(20)))
        .await?;
    let when = "after the expiry moved closer";
    told(trial, &realm, before(25), &[(&sooner, 7)], when).await?;
    told(trial, &realm, before(25), &[], when).await
}

/// Steps that others have claimed stay claimed if the ladder is another one.
async fn other_steps<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("other steps");
    let held = trial.held(&realm, "alice").await?;
    told(trial, &realm, before(30), &[(&held, 30)], "a month before").await?;
    let ladder = valid(ExpiryLadder::new([days(40), days(10)]));
    let claims = claim(trial, &realm, &ladder, before(29), MANY).await?;
    let when = "by another ladder";
    trial.require(
        claims.notices.is_empty(),
        format!("{when}, a wider step than one that was claimed was claimed"),
    )?;
    let claims = claim(trial, &realm, &ladder, before(9), MANY).await?;
    let due = [notice(&held, 10)];
    trial.require(
        claims.notices == due,
        format!(
            "{when}, {:?} were claimed; expected {due:?}",
            claims.notices
        ),
    )?;
    told(
        trial,
        &realm,
        before(7),
        &[(&held, 7)],
        "by the first ladder again",
    )
    .await
}

/// What several tasks are given that claim at once, and what they leave.
pub(super) async fn claimed_at_once<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    step: u64,
) -> Result<Vec<ExpiryNotice>, Violation> {
    let tasks = (0..TASKS).map(|_| {
        let (trial, realm) = (trial.clone(), realm.clone());
        async move {
            let mut given = Vec::new();
            loop {
                let claims = claim(&trial, &realm, &ladder(), before(step), AT_ONCE).await?;
                given.extend(claims.notices);
                if !claims.more {
                    return Ok::<_, Violation>(given);
                }
            }
        }
    });
    let mut claimed = Vec::new();
    for given in race(tasks.collect()).await {
        claimed.extend(given?);
    }
    // What was locked by another at that moment is left for the next turn.
    let rest = claim(trial, realm, &ladder(), before(step), MANY).await?;
    claimed.extend(rest.notices);
    Ok(claimed)
}

/// However many ask at once, each notice is claimed by one.
async fn raced<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("raced");
    let mut due = BTreeSet::new();
    for _ in 0..RACED {
        due.insert(trial.held(&realm, "alice").await?.id());
    }
    for step in [30, 7, 1] {
        let claimed = claimed_at_once(trial, &realm, step).await?;
        let seen: Vec<KeyId> = claimed.iter().map(|notice| notice.id).collect();
        let when = format!("in {TASKS} tasks at once at the step of {step} days");
        is_each_once(trial, &seen, &due, &when)?;
    }
    trial.require(
        ISSUED < before(30),
        "the keys of the suite live for less than its ladder",
    )
}
