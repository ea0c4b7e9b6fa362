//! A revocation ends the keys that it names: all of them, nothing else, and whatever others do
//! meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tower_api_key::store::{
    Change, Ended, KeyStore, ListQuery, Revoked, StoreErrorKind, Target, Write,
};
use tower_api_key::{KeyId, KeyRecord, Realm, Revocation, RevocationReason, Timestamp};

use super::race::{join, race};
use super::trial::{self, Trial, after, realm, scopes, valid};
use super::violation::Violation;

const KEYS: usize = 5;
const DUELS: usize = 15;
/// The last moment that every store holds.
const LAST: Timestamp = Timestamp::from_unix(i64::MAX as u64);

const REVOCATION: Revocation = Revocation::new(after(7), RevocationReason::KeyCompromise);

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    a_key(trial).await?;
    a_lineage(trial).await?;
    a_subject(trial).await?;
    at_any_time(trial).await?;
    of_any_version(trial).await?;
    stale_afterwards(trial).await?;
    seen_whole(trial).await?;
    beside_changes(trial).await?;
    beside_rotations(trial).await?;
    beside_issues(trial).await
}

/// Revokes, which must not fail.
async fn revoke<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    target: &Target,
    revocation: Revocation,
) -> Result<Revoked, Violation> {
    match trial.store.revoke(realm, target, revocation, None).await {
        Ok(revoked) => Ok(revoked),
        Err(error) if error.kind() == StoreErrorKind::Unavailable => {
            Err(trial::failed(&format!("revoke {target:?}"), &error))
        }
        Err(error) => trial.broken(format!(
            "a revocation at {} was refused as {:?}",
            revocation.at,
            error.kind()
        )),
    }
}

/// Revokes, and requires that exactly these records ended and look so, with the next version.
async fn ends<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    target: Target,
    expected: &[&KeyRecord],
    what: &str,
) -> Result<(), Violation> {
    let revoked = revoke(trial, realm, &target, REVOCATION).await?;
    let ended: Vec<Ended> = expected
        .iter()
        .map(|record| Ended::new(Some(record.id()), Some(record.subject().to_string())))
        .collect();
    trial.require(
        revoked.ended == ended,
        format!(
            "the revocation of {what} reported that it ended {:?}; expected {ended:?}",
            revoked.ended
        ),
    )?;
    trial.require(
        revoked.found,
        format!("the revocation of {what} reported that it found nothing"),
    )?;
    for record in expected {
        let write = Write::revoked(record, REVOCATION.reason, REVOCATION.at);
        let when = format!("after the revocation of {what}");
        trial.shows(&write.record, &when).await?;
    }
    Ok(())
}

async fn finds_nothing<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    target: Target,
    what: &str,
) -> Result<(), Violation> {
    let revoked = revoke(trial, realm, &target, REVOCATION).await?;
    trial.require(
        revoked == Revoked::default(),
        format!("the revocation of {what} returned {revoked:?}"),
    )
}

async fn a_key<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("orders"), realm("billing"));
    let key = trial.held(&orders, "alice").await?;
    let bystander = trial.held(&orders, "alice").await?;
    finds_nothing(
        trial,
        &billing,
        Target::Key(key.id()),
        "another realm's key",
    )
    .await?;
    finds_nothing(trial, &orders, Target::Key(trial.id()), "an unknown key").await?;
    ends(trial, &orders, Target::Key(key.id()), &[&key], "a key").await?;
    trial
        .shows(&bystander, "after another key was revoked")
        .await?;

    let later = Revocation::new(after(99), RevocationReason::Unspecified);
    let again = revoke(trial, &orders, &Target::Key(key.id()), later).await?;
    trial.require(
        again.found && again.ended.is_empty(),
        format!("the second revocation of a key returned {again:?}"),
    )?;
    let first = Write::revoked(&key, REVOCATION.reason, REVOCATION.at);
    trial
        .shows(&first.record, "after a key was revoked a second time")
        .await
}

async fn a_lineage<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("orders"), realm("billing"));
    for named in 0..4 {
        let first = trial.key(&orders, "alice");
        let lineage = first.id;
        let mut members = Vec::new();
        for subject in ["alice", "bob"] {
            let mut parts = trial.key(&orders, subject);
            parts.lineage = lineage;
            members.push(trial.put(parts).await?);
        }
        let mut revoked = trial.key(&orders, "alice");
        revoked.lineage = lineage;
        revoked.revocation = Some(Revocation::new(after(1), RevocationReason::Superseded));
        let revoked = trial.put(revoked).await?;
        let mut elsewhere = trial.key(&billing, "alice");
        elsewhere.lineage = lineage;
        let elsewhere = trial.put(elsewhere).await?;
        // The first key of a lineage may be gone, but its id still names the lineage.
        if named > 0 {
            members.push(trial.put(first).await?);
        }
        members.sort_by_key(|member| member.id());
        let name = match named {
            0 | 1 => lineage,
            2 => members[members.len() - 1].id(),
            _ => revoked.id(),
        };
        let expected: Vec<&KeyRecord> = members.iter().map(|member| &**member).collect();
        let what = "a lineage";
        ends(trial, &orders, Target::Lineage(name), &expected, what).await?;
        for other in [&revoked, &elsewhere] {
            trial.shows(other, "after a lineage was revoked").await?;
        }
        let again = revoke(trial, &orders, &Target::Lineage(name), REVOCATION).await?;
        trial.require(
            again.found && again.ended.is_empty(),
            format!("the second revocation of a lineage returned {again:?}"),
        )?;
    }
    let unknown = Target::Lineage(trial.id());
    finds_nothing(trial, &orders, unknown, "an unknown lineage").await
}

async fn a_subject<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("subject"), realm("subject elsewhere"));
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(trial.held(&orders, "alice").await?);
    }
    let mut expired = trial.key(&orders, "alice");
    expired.expires_at = Some(after(1));
    keys.push(trial.put(expired).await?);
    let mut others = vec![trial.held(&billing, "alice").await?];
    for subject in ["Alice", "alice ", "alic", "alice\u{301}"] {
        others.push(trial.held(&orders, subject).await?);
    }
    let subject = || Target::Subject("alice".to_owned());
    let expected: Vec<&KeyRecord> = keys.iter().map(|key| &**key).collect();
    ends(trial, &orders, subject(), &expected, "a subject").await?;
    for other in &others {
        trial.shows(other, "after a subject was revoked").await?;
    }
    for nobody in ["nobody", "", "a\0b", "%"] {
        let target = Target::Subject(nobody.to_owned());
        finds_nothing(trial, &orders, target, "a subject without keys").await?;
    }
    Ok(())
}

/// A clock that fails reads the end of time.
async fn at_any_time<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("times");
    for at in [Timestamp::from_unix(0), LAST, Timestamp::MAX] {
        let revocation = Revocation::new(at, REVOCATION.reason);
        let key = trial.held(&orders, "alice").await?;
        let by_commit = trial.held(&orders, "bob").await?;
        revoke(trial, &orders, &Target::Key(key.id()), revocation).await?;
        let write = Write::revoked(&by_commit, revocation.reason, at);
        trial
            .accepts(&Change::new(vec![write]), "a revocation at any time")
            .await?;
        for record in [key, by_commit] {
            let seen = trial.get(&orders, record.id()).await?;
            let seen = seen.and_then(|record| record.revocation());
            trial.require(
                seen.is_some_and(|seen| {
                    seen.reason == revocation.reason && (at.min(LAST)..=at).contains(&seen.at)
                }),
                format!("a revocation at {at} was kept as {seen:?}"),
            )?;
        }
    }
    Ok(())
}

/// A store may refuse a record whose version is beyond its range. One that it has can end.
async fn of_any_version<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("versions");
    for version in [1 << 62, LAST.as_unix(), u64::MAX] {
        let mut parts = trial.key(&orders, "alice");
        parts.version = version;
        let record = KeyRecord::from(parts);
        let change = Change::new(vec![Write::new(record.clone())]);
        match trial.store.commit(&change).await {
            Ok(()) => {}
            Err(error) if error.kind() == StoreErrorKind::Unavailable => continue,
            Err(error) => return Err(trial::failed("commit of a high version", &error)),
        }
        revoke(trial, &orders, &Target::Key(record.id()), REVOCATION).await?;
        let seen = trial.get(&orders, record.id()).await?;
        trial.require(
            seen.is_some_and(|seen| seen.revocation() == Some(REVOCATION)),
            format!("a key of version {version} was not revoked"),
        )?;
    }
    Ok(())
}

/// A record that was read before a revocation is stale after it.
async fn stale_afterwards<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("stale");
    let key = trial.held(&orders, "alice").await?;
    revoke(trial, &orders, &Target::Key(key.id()), REVOCATION).await?;
    let kind = StoreErrorKind::Conflict;
    let narrowed = Write::next(&key, |parts| parts.scopes = scopes("read"));
    let what = "a write that expects the version before a revocation";
    trial
        .refuses(&Change::new(vec![narrowed]), kind, what)
        .await
}

async fn living<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    query: ListQuery,
) -> Result<Vec<Arc<KeyRecord>>, Violation> {
    trial.list(realm, &query.unrevoked()).await
}

/// Readers see all keys of a subject live, or none.
async fn seen_whole<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("whole");
    for duel in 0..DUELS {
        let subject = format!("subject {duel}");
        for _ in 0..KEYS {
            trial.held(&orders, &subject).await?;
        }
        let done = Arc::new(AtomicBool::new(false));
        let reader = {
            let (trial, orders, subject) = (trial.clone(), orders.clone(), subject.clone());
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut last = false;
                while !last {
                    last = done.load(Ordering::Acquire);
                    let query = ListQuery::new().subject(&subject);
                    let live = living(&trial, &orders, query).await?.len();
                    trial.require(
                        live == 0 || live == KEYS,
                        format!("list showed {live} live keys of {KEYS} that a revocation ends"),
                    )?;
                    tokio::task::yield_now().await;
                }
                Ok(())
            })
        };
        let revoked = revoke(trial, &orders, &Target::Subject(subject), REVOCATION).await;
        done.store(true, Ordering::Release);
        join(reader).await?;
        revoked?;
    }
    Ok(())
}

/// Others change a key repeatedly: its revocation is not refused, and none of them undoes it.
async fn beside_changes<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("changes");
    for _ in 0..DUELS {
        let key = trial.held(&orders, "alice").await?;
        let id = key.id();
        let changes = {
            let (trial, mut key) = (trial.clone(), key);
            async move {
                for seconds in (1..60).rev() {
                    let write =
                        Write::next(&key, |parts| parts.grace_ends_at = Some(after(seconds)));
                    let next = write.record.clone();
                    match trial.store.commit(&Change::new(vec![write])).await {
                        Ok(()) => key = next,
                        Err(error) if error.kind() == StoreErrorKind::Conflict => return Ok(()),
                        Err(error) => {
                            return Err(trial::failed("commit during other writes", &error));
                        }
                    }
                }
                Ok(())
            }
        };
        duel(trial, &orders, Target::Key(id), changes).await?;
        let seen = trial.get(&orders, id).await?;
        trial.require(
            seen.is_some_and(|seen| seen.revocation() == Some(REVOCATION)),
            "a key was live after its revocation returned, while others changed it",
        )?;
    }
    Ok(())
}

/// Others replace the newest key of a lineage repeatedly: none lives in the end.
async fn beside_rotations<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("rotations");
    for round in 0..2 * DUELS {
        let subject = format!("subject {round}");
        let first = trial.held(&orders, &subject).await?;
        let lineage = first.id();
        let target = match round % 2 {
            0 => Target::Lineage(lineage),
            _ => Target::Subject(subject.clone()),
        };
        let by_lineage = round % 2 == 0;
        let rotations = {
            let (trial, orders, mut head) = (trial.clone(), orders.clone(), first);
            async move {
                for turn in 0..30 {
                    let mut parts = trial.key(&orders, &subject);
                    if by_lineage {
                        // The subject may change from one key to the next.
                        parts.subject = valid(format!("{subject}, turn {turn}").try_into());
                    }
                    parts.lineage = lineage;
                    let next: Arc<KeyRecord> = parts.into();
                    let ends = Write::revoked(&head, RevocationReason::Superseded, after(1));
                    let change = Change::new(vec![ends, Write::new(next.clone())]);
                    match trial.store.commit(&change).await {
                        Ok(()) => head = next,
                        Err(error) if error.kind() == StoreErrorKind::Conflict => return Ok(()),
                        Err(error) => {
                            return Err(trial::failed("commit during other writes", &error));
                        }
                    }
                }
                Ok(())
            }
        };
        let what = format!("{target:?}");
        duel(trial, &orders, target, rotations).await?;
        let live = living(trial, &orders, ListQuery::new().lineage(lineage)).await?;
        trial.require(
            live.is_empty(),
            format!("a key was live after {what} was revoked, while others replaced its newest"),
        )?;
    }
    Ok(())
}

/// Every key that was issued when the revocation of a subject began is dead when it returns.
async fn beside_issues<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("issues");
    for duel in 0..DUELS {
        let subject = format!("subject {duel}");
        trial.held(&orders, &subject).await?;
        let contenders = (0..2).map(|contender| {
            let (trial, orders, subject) = (trial.clone(), orders.clone(), subject.clone());
            async move {
                if contender == 0 {
                    for _ in 0..6 {
                        trial.held(&orders, &subject).await?;
                    }
                    return Ok(Vec::new());
                }
                for _ in 0..duel % 4 {
                    tokio::task::yield_now().await;
                }
                let issued = ListQuery::new().subject(&subject);
                let issued = trial.list(&orders, &issued).await?;
                let target = Target::Subject(subject);
                revoke(&trial, &orders, &target, REVOCATION).await?;
                let issued: Vec<KeyId> = issued.iter().map(|record| record.id()).collect();
                for &id in &issued {
                    let seen = trial.get(&orders, id).await?;
                    trial.require(
                        seen.is_some_and(|seen| seen.revocation() == Some(REVOCATION)),
                        "a key was live that was issued before its subject was revoked",
                    )?;
                }
                Ok(issued)
            }
        });
        for outcome in race(contenders.collect()).await {
            outcome?;
        }
    }
    Ok(())
}

/// Revokes while others write.
async fn duel<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    target: Target,
    others: impl Future<Output = Result<(), Violation>> + Send + 'static,
) -> Result<(), Violation> {
    let writer = tokio::spawn(others);
    tokio::task::yield_now().await;
    let revoked = revoke(trial, realm, &target, REVOCATION).await;
    join(writer).await?;
    trial.require(
        revoked?.found,
        "a revocation during other writes reported that it found nothing",
    )
}
