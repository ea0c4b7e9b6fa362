//! A change applies only while a subject has the keys that it expects.

use std::sync::Arc;

use tower_api_key::store::{Change, KeyStore, ListQuery, StoreErrorKind, SubjectKeys, Write};
use tower_api_key::{KeyRecord, KeyRecordParts, Realm, RevocationReason};

use super::race::race;
use super::trial::{self, Trial, after, realm, subject};
use super::violation::Violation;

const ROUNDS: usize = 6;
const CONTENDERS: usize = 8;
const DUELS: usize = 60;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    exact(trial).await?;
    stale(trial).await?;
    among_others(trial).await?;
    issues_race(trial).await?;
    revocation_against_issue(trial).await
}

/// The change that issues this key while its subject has these.
fn issue(parts: KeyRecordParts, held: &[Arc<KeyRecord>]) -> Change {
    let keys = SubjectKeys::new(&parts.realm, &parts.subject, held);
    Change::new(vec![Write::new(parts)]).only_while(keys)
}

async fn subject_holds<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    subject: &str,
) -> Result<Vec<Arc<KeyRecord>>, Violation> {
    let query = ListQuery::new().subject(subject).unrevoked();
    trial.list(realm, &query).await
}

/// It applies if nothing is held, if something is, and if it writes a record that is held.
async fn exact<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("exact");
    for _ in 0..3 {
        let held = subject_holds(trial, &orders, "alice").await?;
        let change = issue(trial.key(&orders, "alice"), &held);
        trial
            .accepts(
                &change,
                "a key whose subject has the keys that are expected",
            )
            .await?;
    }
    let held = subject_holds(trial, &orders, "alice").await?;
    let ends = held
        .iter()
        .map(|record| Write::revoked(record, RevocationReason::Superseded, after(1)));
    let keys = SubjectKeys::new(&orders, &subject("alice"), &held);
    let change = Change::new(ends.collect()).only_while(keys);
    trial
        .accepts(&change, "the revocation of all of a subject's keys")
        .await?;
    let change = issue(trial.key(&orders, "alice"), &[]);
    trial
        .accepts(&change, "a key whose subject has revoked keys alone")
        .await
}

async fn stale<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("stale");
    let first = trial.held(&orders, "alice").await?;
    let second = trial.held(&orders, "alice").await?;
    let second_changed = trial
        .edit(&second, |parts| parts.grace_ends_at = Some(after(60)))
        .await?;
    let revoked = trial.held(&orders, "alice").await?;
    let ends = Write::revoked(&revoked, RevocationReason::KeyCompromise, after(1));
    trial
        .accepts(&Change::new(vec![ends]), "a revocation")
        .await?;
    let never = Arc::from(trial.key(&orders, "alice"));

    let others = [
        ("none", vec![]),
        ("one fewer", vec![Arc::clone(&first)]),
        ("an earlier version", vec![Arc::clone(&first), second]),
        (
            "one more",
            vec![Arc::clone(&first), Arc::clone(&second_changed), never],
        ),
        (
            "one that is revoked",
            vec![Arc::clone(&first), Arc::clone(&second_changed), revoked],
        ),
    ];
    for (which, held) in others {
        let change = issue(trial.key(&orders, "alice"), &held);
        let what = format!("a change that expects other keys of a subject than it has: {which}");
        let kind = StoreErrorKind::Conflict;
        trial.refuses(&change, kind, &what).await?;
        for write in change.writes() {
            trial.hides(&write.record, "after it was refused").await?;
        }
    }
    let change = issue(trial.key(&orders, "alice"), &[first, second_changed]);
    trial
        .accepts(
            &change,
            "a key whose subject has the keys that are expected",
        )
        .await
}

/// Each of several expectations counts. Other subjects and other realms do not.
async fn among_others<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("orders"), realm("billing"));
    trial.held(&billing, "carol").await?;
    trial.held(&orders, "Carol").await?;
    let change = issue(trial.key(&orders, "carol"), &[]);
    let what = "a key whose subject has keys in another realm, or in another case, alone";
    trial.accepts(&change, what).await?;

    let stale = SubjectKeys::new(&orders, &subject("carol"), &[]);
    let right = trial.keys_of(&billing, "carol").await?;
    for conditions in [[right.clone(), stale.clone()], [stale, right]] {
        let [first, second] = conditions;
        let change = Change::new(vec![Write::new(trial.key(&orders, "dave"))])
            .only_while(first)
            .only_while(second);
        let kind = StoreErrorKind::Conflict;
        trial
            .refuses(&change, kind, "a change with one stale condition of two")
            .await?;
    }
    Ok(())
}

/// Many changes that expect a subject's present keys issue one more: one of them applies.
async fn issues_race<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("race");
    for round in 0..ROUNDS {
        let held = subject_holds(trial, &orders, "alice").await?;
        let contenders = (0..CONTENDERS).map(|_| {
            let change = issue(trial.key(&orders, "alice"), &held);
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
                    error.kind() == StoreErrorKind::Conflict,
                    format!("a key that came too late was refused as {:?}", error.kind()),
                )?,
            }
        }
        let now = subject_holds(trial, &orders, "alice").await?.len();
        trial.require(
            now == round + 1,
            format!(
                "{CONTENDERS} tasks issued a key each to a subject with {round}, expecting those, and it has {now}"
            ),
        )?;
    }
    Ok(())
}

/// All of a subject's keys are revoked while another is issued to it without a condition. If the new key
/// was live together with a live old one, the revocation had not happened yet, and came too late.
async fn revocation_against_issue<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("duel");
    for duel in 0..DUELS {
        let subject = format!("subject {duel}");
        let old = Arc::new(trial.held(&orders, &subject).await?);
        let keys = SubjectKeys::new(&orders, old.subject(), std::slice::from_ref(&old));
        let ends = Write::revoked(&old, RevocationReason::PrivilegeWithdrawn, after(1));
        let revocation = Change::new(vec![ends]).only_while(keys);
        let begins = Write::new(trial.key(&orders, &subject));
        let issue = Change::new(vec![begins]);

        let contenders = [(0, revocation), (1, issue)].map(|(contender, change)| {
            let (trial, orders, subject) = (trial.clone(), orders.clone(), subject.clone());
            async move {
                // Neither side is always the first.
                for _ in 0..(duel + contender) % 3 {
                    tokio::task::yield_now().await;
                }
                let outcome = trial.store.commit(&change).await;
                (outcome, subject_holds(&trial, &orders, &subject).await)
            }
        });
        let mut outcomes = race(contenders.into()).await.into_iter();
        let (Some((revoked, _)), Some((issued, seen))) = (outcomes.next(), outcomes.next()) else {
            continue;
        };
        if let Err(error) = issued {
            return Err(trial::failed("commit of a key without conditions", &error));
        }
        let stood_beside_the_old = seen?.iter().any(|record| record.id() == old.id());
        match revoked {
            Ok(()) => trial.require(
                !stood_beside_the_old,
                "a change that expects the keys of a subject was committed after another key of it",
            )?,
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(trial::failed("commit during other writes", &error)),
        }
    }
    Ok(())
}
