//! A change applies only if its subject has no more keys than its limit allows afterwards.

use std::sync::Arc;

use tower_api_key::store::{Change, KeyLimit, KeyStore, ListQuery, StoreErrorKind, Target, Write};
use tower_api_key::{KeyRecord, KeyRecordParts, Realm, Revocation, RevocationReason, Timestamp};

use super::race::race;
use super::trial::{self, EXPIRES, ISSUED, Trial, after, realm, subject};
use super::violation::Violation;

const ROUNDS: usize = 6;
const CONTENDERS: usize = 8;
/// How many keys a subject has that has many: more than a store would look at one after the other.
const MANY: usize = 100;
const REASON: RevocationReason = RevocationReason::CessationOfOperation;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    among_others(trial).await?;
    exact(trial).await?;
    what_counts(trial).await?;
    with_a_wrong_write(trial).await?;
    many(trial).await?;
    issues_race(trial).await
}

fn limit(realm: &Realm, name: &str, most: usize, at: Timestamp) -> KeyLimit {
    KeyLimit::new(realm, &subject(name), most, at)
}

/// The change that issues this key if its subject has at most this many afterwards.
fn issue(parts: KeyRecordParts, most: usize) -> Change {
    let limit = KeyLimit::new(&parts.realm, &parts.subject, most, ISSUED);
    Change::new(vec![Write::new(parts)]).only_within(limit)
}

/// A violation, unless the subject has exactly this many keys for a limit at this time.
async fn counts<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    name: &str,
    keys: usize,
    (at, when): (Timestamp, &str),
) -> Result<(), Violation> {
    let within = |most| Change::new(Vec::new()).only_within(limit(realm, name, most, at));
    let what = format!("{when}, a limit of {keys} for a subject with {keys} keys");
    trial.accepts(&within(keys), &what).await?;
    let Some(fewer) = keys.checked_sub(1) else {
        return Ok(());
    };
    let what = format!("{when}, a limit of {fewer} for a subject with {keys} keys");
    let kind = StoreErrorKind::TooManyKeys;
    trial.refuses(&within(fewer), kind, &what).await
}

async fn revoke<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    target: &Target,
) -> Result<(), Violation> {
    let revocation = Revocation::new(after(1), REASON);
    let revoked = trial.store.revoke(realm, target, revocation, None).await;
    revoked.map_err(|error| trial::failed("revoke", &error))?;
    Ok(())
}

/// A change applies up to its limit, and is refused whole beyond it.
async fn exact<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("exact");
    for _ in 0..2 {
        let change = issue(trial.key(&orders, "alice"), 2);
        trial.accepts(&change, "a key within the limit").await?;
    }
    let change = issue(trial.key(&orders, "alice"), 2);
    let what = "a third key of a subject that may have two";
    trial
        .refuses(&change, StoreErrorKind::TooManyKeys, what)
        .await?;
    for write in change.writes() {
        trial.hides(&write.record, "after it was refused").await?;
    }
    let query = ListQuery::new().subject("alice").unrevoked();
    let held = trial.list(&orders, &query).await?;
    let [first, ..] = &*held else {
        return trial.broken("list did not show the keys of a subject");
    };

    // A key takes the place of another.
    let writes = vec![
        Write::new(trial.key(&orders, "alice")),
        Write::revoked(first, REASON, after(1)),
    ];
    let change = Change::new(writes).only_within(limit(&orders, "alice", 2, ISSUED));
    let what = "a key in the place of one of a subject at its limit";
    trial.accepts(&change, what).await?;

    let held = trial.list(&orders, &query).await?;
    let ends = held.iter().map(|it| Write::revoked(it, REASON, after(1)));
    let change = Change::new(ends.collect()).only_within(limit(&orders, "alice", 0, ISSUED));
    let what = "the revocation of all of a subject's keys, after which it may have none,";
    trial.accepts(&change, what).await?;
    let change = issue(trial.key(&orders, "alice"), 1);
    let what = "a key whose subject has revoked keys alone";
    trial.accepts(&change, what).await
}

/// Lineages count, and only those with a key that has not ended.
async fn what_counts<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("counted");
    let issued = (ISSUED, "after the issue");
    let old = trial.held(&orders, "alice").await?;
    let mut parts = trial.key(&orders, "alice");
    parts.lineage = old.lineage();
    parts.expires_at = None;
    let new = trial.put(parts).await?;
    counts(
        trial,
        &orders,
        "alice",
        1,
        (ISSUED, "with two keys of one lineage"),
    )
    .await?;

    // The earlier one is in its grace period, then over.
    trial
        .edit(&old, |parts| parts.grace_ends_at = Some(after(60)))
        .await?;
    counts(
        trial,
        &orders,
        "alice",
        1,
        (ISSUED, "within a grace period"),
    )
    .await?;
    let ends = Write::revoked(&new, REASON, after(1));
    trial
        .accepts(&Change::new(vec![ends]), "a revocation")
        .await?;
    let alone = "of a lineage in its grace period alone";
    counts(trial, &orders, "alice", 1, (after(59), alone)).await?;
    counts(
        trial,
        &orders,
        "alice",
        0,
        (after(60), "at the end of a grace period"),
    )
    .await?;
    counts(trial, &orders, "alice", 1, (after(59), "a second earlier")).await?;
    counts(trial, &orders, "alice", 1, issued).await?;

    let mut late = trial.key(&orders, "bob");
    late.not_before = after(3_600);
    let late = trial.put(late).await?;
    counts(trial, &orders, "bob", 1, (ISSUED, "before a key begins")).await?;
    let before = Timestamp::from_unix(EXPIRES.as_unix() - 1);
    counts(trial, &orders, "bob", 1, (before, "before a key expires")).await?;
    counts(trial, &orders, "bob", 0, (EXPIRES, "as a key expires")).await?;
    revoke(trial, &orders, &Target::Key(late.id())).await?;
    counts(trial, &orders, "bob", 0, (ISSUED, "after a revocation")).await
}

/// Each of several limits counts. Other subjects and other realms do not.
async fn among_others<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("orders"), realm("billing"));
    trial.held(&billing, "carol").await?;
    trial.held(&orders, "Carol").await?;
    let change = issue(trial.key(&orders, "carol"), 1);
    let what = "a key whose subject has keys in another realm, or in another case, alone";
    trial.accepts(&change, what).await?;

    let full = limit(&orders, "carol", 0, ISSUED);
    let free = limit(&billing, "carol", 1, ISSUED);
    for limits in [[free.clone(), full.clone()], [full, free]] {
        let [first, second] = limits;
        let change = Change::new(vec![Write::new(trial.key(&orders, "dave"))])
            .only_within(first)
            .only_within(second);
        let kind = StoreErrorKind::TooManyKeys;
        let what = "a change beyond one limit of two";
        trial.refuses(&change, kind, what).await?;
    }
    Ok(())
}

/// If a write does not apply either, its error says more than the limit.
async fn with_a_wrong_write<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("both");
    let old = trial.held(&orders, "alice").await?;
    trial
        .edit(&old, |parts| parts.grace_ends_at = Some(after(60)))
        .await?;
    let stale = vec![
        Write::revoked(&old, REASON, after(1)),
        Write::new(trial.key(&orders, "alice")),
    ];
    for (writes, kind) in [
        (stale, StoreErrorKind::Conflict),
        (
            vec![Write::new(Arc::clone(&old))],
            StoreErrorKind::Duplicate,
        ),
    ] {
        let change = Change::new(writes).only_within(limit(&orders, "alice", 0, ISSUED));
        let what = "a change beyond its limit, with a write that does not apply,";
        trial.refuses(&change, kind, what).await?;
    }
    Ok(())
}

/// A subject with many keys, of which some end in each of the ways. Whatever a store keeps of their number is
/// right after each.
async fn many<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("many");
    let mut held = Vec::new();
    for number in 0..MANY {
        let mut parts = trial.key(&orders, "alice");
        // They end one after the other.
        parts.expires_at = Some(after(1_000 + number as u64));
        let change = issue(parts, number + 1);
        trial.accepts(&change, "a key within a high limit").await?;
        held.extend(
            change
                .writes()
                .iter()
                .map(|write| Arc::clone(&write.record)),
        );
        if number % 25 == 0 {
            counts(trial, &orders, "alice", number + 1, (ISSUED, "among many")).await?;
        }
    }
    let mut left = MANY;
    // From the last on, so that those that expire first are still there.
    for number in 0..9 {
        let Some(record) = held.pop() else { break };
        left -= 1;
        if number % 3 == 0 {
            let ends = Change::new(vec![Write::revoked(&record, REASON, after(1))]);
            trial.accepts(&ends, "a revocation").await?;
        } else if number % 3 == 1 {
            revoke(trial, &orders, &Target::Key(record.id())).await?;
        } else {
            trial
                .edit(&record, |parts| parts.grace_ends_at = Some(ISSUED))
                .await?;
        }
        let when = (ISSUED, "after one of many ended");
        counts(trial, &orders, "alice", left, when).await?;
    }
    // Time passes, and a key that had expired is revoked. It has ceased to count before.
    for expired in [1, 20, 40] {
        let now = after(999 + expired);
        let passed = usize::try_from(expired).unwrap_or(usize::MAX);
        counts(
            trial,
            &orders,
            "alice",
            left - passed,
            (now, "after some expired"),
        )
        .await?;
        let record = &held[passed - 1];
        revoke(trial, &orders, &Target::Key(record.id())).await?;
        let when = (now, "after an expired key was revoked");
        counts(trial, &orders, "alice", left - passed, when).await?;
    }
    // By a clock that is behind, those that were not revoked have not expired.
    let when = (ISSUED, "by an earlier time");
    counts(trial, &orders, "alice", left - 3, when).await?;
    let target = Target::Subject("alice".to_owned());
    revoke(trial, &orders, &target).await?;
    let when = (ISSUED, "after the subject was revoked");
    counts(trial, &orders, "alice", 0, when).await
}

/// Many issue a key at once to a subject that may have one more: one of them does.
async fn issues_race<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("race");
    for round in 0..ROUNDS {
        let contenders = (0..CONTENDERS).map(|_| {
            let change = issue(trial.key(&orders, "alice"), round + 1);
            let trial = trial.clone();
            async move { trial.store.commit(&change).await }
        });
        for outcome in race(contenders.collect()).await {
            match outcome {
                Ok(()) => {}
                Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                    return Err(trial::failed("commit during other writes", &error));
                }
                Err(error) => trial.require(
                    error.kind() == StoreErrorKind::TooManyKeys,
                    format!("a key that came too late was refused as {:?}", error.kind()),
                )?,
            }
        }
        let query = ListQuery::new().subject("alice").unrevoked();
        let now: Vec<Arc<KeyRecord>> = trial.list(&orders, &query).await?;
        trial.require(
            now.len() == round + 1,
            format!(
                "{CONTENDERS} tasks issued a key each to a subject with {round} that may have one more, and it has {}",
                now.len()
            ),
        )?;
    }
    Ok(())
}
