//! What is known of the uses of a key grows, and changes nothing else.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tower_api_key::store::{
    BoxFuture, Change, KeyStore, KeyUsage, NetworkUse, ScopeUse, UsedNetwork, Write,
};
use tower_api_key::{ClientNetwork, KeyId, KeyRecord, Realm, RevocationReason, Timestamp};

use super::race::race;
use super::trial::{ISSUED, Trial, after, failed, realm, scopes};
use super::violation::Violation;

/// How many keys one call names: more than a careless store can bind in one statement.
const MANY: u64 = 2_000;
const CONTENDERS: u64 = 8;
const ROUNDS: u64 = 6;
/// How many keys are used while they are purged.
const DUELS: usize = 12;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    added(trial).await?;
    bounded(trial).await?;
    nothing_else(trial).await?;
    unknown(trial).await?;
    late(trial).await?;
    raced(trial).await
}

/// Of a key that a purge removes.
pub(super) async fn check_purged<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("purged");
    let mut parts = trial.key(&realm, "alice");
    parts.expires_at = Some(after(1));
    let record = trial.put(parts).await?;
    let usage = exercised(0, 0, "read");
    record_usage(trial, &realm, &[(record.id(), usage.clone())]).await?;
    trial.purge(&realm, after(1)).await?;
    let when = "after the purge of its key";
    shows(trial, &realm, &[record.id()], &[KeyUsage::new()], when).await?;
    record_usage(trial, &realm, &[(record.id(), usage)]).await?;
    trial.hides(&record, "after a use of a purged key").await?;
    let again = trial.put(record).await?;
    let when = "after a key was purged and put again";
    shows(trial, &realm, &[again.id()], &[KeyUsage::new()], when).await?;
    raced_by_a_purge(trial).await
}

/// In either order, the record is gone, and what was known of it too.
async fn raced_by_a_purge<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    for duel in 0..DUELS {
        let realm = realm(&format!("purged {duel}"));
        let mut parts = trial.key(&realm, "alice");
        parts.expires_at = Some(after(2));
        let held = trial.put(parts).await?;
        let (using, used, id) = (trial.clone(), realm.clone(), held.id());
        let (purging, purged) = (trial.clone(), realm.clone());
        let usage = [(id, exercised(1, 1, "read"))];
        let removed = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&removed);
        let contenders: [BoxFuture<'static, _>; 2] = [
            Box::pin(async move { record_usage(&using, &used, &usage).await }),
            Box::pin(async move {
                let count = purging.purge(&purged, after(2)).await?;
                told.store(count, Ordering::Relaxed);
                Ok(())
            }),
        ];
        let contenders = contenders.into_iter().zip(0..);
        let contenders = contenders.map(|(act, contender)| async move {
            // Neither side is always the first.
            for _ in 0..(duel + contender) % 3 {
                tokio::task::yield_now().await;
            }
            act.await
        });
        let done = race(contenders.collect()).await;
        done.into_iter().collect::<Result<(), _>>()?;
        // A record that the use held at that moment may be left for the next purge.
        if removed.load(Ordering::Relaxed) == 0 {
            trial.purge(&realm, after(2)).await?;
        }
        let again = trial.put(held).await?;
        let when = "after a key was purged during a use and put again";
        shows(trial, &realm, &[again.id()], &[KeyUsage::new()], when).await?;
    }
    Ok(())
}

pub(super) async fn check_refused<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("orders");
    let held = trial.held(&realm, "alice").await?;
    let usage = [(held.id(), exercised(0, 0, "read"))];
    let recorded = trial.store.record_usage(&realm, &usage).await;
    trial.unsupported(recorded, "record_usage")?;
    let usages = trial.store.usages(&realm, &[held.id()]).await;
    trial.unsupported(usages, "usages")
}

async fn added<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("added");
    let id = trial.held(&realm, "alice").await?.id();
    let other = trial.held(&realm, "alice").await?.id();
    let mut due = KeyUsage::new();
    let nothing = KeyUsage::new();
    let both = [id, other];
    shows(
        trial,
        &realm,
        &both,
        &[due.clone(), nothing.clone()],
        "before any use",
    )
    .await?;
    for (usage, when) in [
        (exercised(10, 10, ""), "after a use without a scope"),
        (exercised(20, 30, "orders:read"), "after a use of a scope"),
        (
            exercised(15, 25, "admin orders:write"),
            "after an earlier use",
        ),
        (
            exercised(40, 40, "orders:read"),
            "after a use of the same scope",
        ),
        (seen(&[(1, 50, 50)]), "after a use from a network"),
        (
            seen(&[(2, 45, 60), (1, 20, 55)]),
            "after a use from two networks",
        ),
        (
            exercised(5, 5, "b").network_use(uses(&[(3, 70, 70)])),
            "after a use of both kinds",
        ),
    ] {
        record_usage(trial, &realm, &[(id, usage.clone())]).await?;
        due.add(&usage);
        shows(trial, &realm, &both, &[due.clone(), nothing.clone()], when).await?;
    }
    let several = [
        (id, exercised(80, 80, "c")),
        (other, exercised(3, 3, "a")),
        (id, exercised(90, 90, "d")),
    ];
    record_usage(trial, &realm, &several).await?;
    due.add(&several[0].1);
    due.add(&several[2].1);
    let due = [due, several[1].1.clone()];
    shows(trial, &realm, &both, &due, "after several uses of a key").await?;
    record_usage(trial, &realm, &[]).await?;
    shows(trial, &realm, &both, &due, "after no use").await
}

/// A store keeps the most recent networks alone.
async fn bounded<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("bounded");
    let id = trial.held(&realm, "alice").await?.id();
    let mut due = KeyUsage::new();
    let many = u32::try_from(3 * NetworkUse::MOST).unwrap_or(u32::MAX);
    for number in 0..many {
        let usage = seen(&[(number, u64::from(number), u64::from(number))]);
        record_usage(trial, &realm, &[(id, usage.clone())]).await?;
        due.add(&usage);
    }
    shows(
        trial,
        &realm,
        &[id],
        &[due],
        "after uses from many networks",
    )
    .await
}

/// The record stays as it is, version included. A change of the record keeps what is known.
async fn nothing_else<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("nothing else");
    let issued = trial.held(&realm, "alice").await?;
    let (id, known) = (issued.id(), [exercised(7, 7, "read")]);
    record_usage(trial, &realm, &[(id, known[0].clone())]).await?;
    trial.shows(&issued, "after a use").await?;
    if let Ok(uses) = trial.store.last_uses(&realm, &[id]).await {
        trial.require(uses == [None], "record_usage moved a last use")?;
    }
    let narrowed = trial
        .edit(&issued, |parts| parts.scopes = scopes("read"))
        .await?;
    shows(trial, &realm, &[id], &known, "after the record changed").await?;
    let write = Write::revoked(&narrowed, RevocationReason::KeyCompromise, after(8));
    let revoked = write.record.clone();
    trial
        .accepts(&Change::new(vec![write]), "a revocation after a use")
        .await?;
    shows(trial, &realm, &[id], &known, "after the key was revoked").await?;
    record_usage(trial, &realm, &[(id, exercised(9, 9, "read"))]).await?;
    trial.shows(&revoked, "after a use of a revoked key").await
}

/// Ids that the realm does not know are passed over, and answered in their place.
async fn unknown<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (known, elsewhere) = (realm("known"), realm("elsewhere"));
    let first = trial.held(&known, "alice").await?.id();
    let second = trial.held(&known, "alice").await?.id();
    let stranger = trial.held(&elsewhere, "alice").await?.id();
    let never = KeyRecord::from(trial.key(&known, "alice"));
    let (one, two) = (exercised(1, 1, "one"), exercised(2, 2, "two"));
    let usages = [
        (never.id(), one.clone()),
        (second, two.clone()),
        (stranger, one.clone()),
        (first, one.clone()),
    ];
    record_usage(trial, &known, &usages).await?;
    trial.hides(&never, "after a use of an unknown key").await?;
    let none = KeyUsage::new();
    let ids = [second, never.id(), first, stranger, second];
    let due = [two.clone(), none.clone(), one.clone(), none.clone(), two];
    shows(trial, &known, &ids, &due, "of known and unknown keys").await?;
    let due = [none.clone(), none.clone()];
    let ids = [stranger, first];
    shows(trial, &elsewhere, &ids, &due, "in another realm").await?;
    shows(trial, &known, &[], &[], "of no key").await?;

    let many: Vec<KeyId> = (0..MANY).map(|_| trial.id()).chain([first]).collect();
    let usages: Vec<_> = many.iter().map(|&id| (id, one.clone())).collect();
    record_usage(trial, &known, &usages).await?;
    let count = many.len();
    let when = format!("of {count} keys in one call, usages gave other answers");
    // In any order, and in that of the ids.
    for sorted in [false, true] {
        let mut many = many.clone();
        if sorted {
            many.sort_unstable();
        }
        let is_known = |id: &KeyId| {
            if *id == first {
                one.clone()
            } else {
                none.clone()
            }
        };
        let due: Vec<KeyUsage> = many.iter().map(is_known).collect();
        let seen = usages_of(trial, &known, &many).await?;
        trial.require(seen == due, &when)?;
        let elsewhere = usages_of(trial, &elsewhere, &many).await?;
        let is_hidden = elsewhere.iter().all(|it| *it == KeyUsage::new());
        trial.require(is_hidden, "in another realm, usages knew a key of many")?;
    }
    Ok(())
}

/// A time beyond what every store holds is held exactly, or refused, and nothing moves.
async fn late<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("late");
    let id = trial.held(&realm, "alice").await?.id();
    let mut due = exercised(1, 1, "read");
    record_usage(trial, &realm, &[(id, due.clone())]).await?;
    let last = Timestamp::from_unix(u64::MAX - 1);
    let told = KeyUsage::new().scope_use(ScopeUse::new(after(1), last, scopes("read")));
    if trial
        .store
        .record_usage(&realm, &[(id, told.clone())])
        .await
        .is_ok()
    {
        due.add(&told);
    }
    shows(trial, &realm, &[id], &[due], "after a use beyond an i64").await
}

/// Of calls at the same time each counts, also those for a key of which nothing is known.
async fn raced<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("raced");
    for round in 0..ROUNDS {
        let (one, other) = (
            trial.held(&realm, "alice").await?.id(),
            trial.held(&realm, "alice").await?.id(),
        );
        let mut due = KeyUsage::new();
        let mut contenders = Vec::new();
        for number in 0..CONTENDERS {
            let place = u32::try_from(number).unwrap_or(0);
            let usage = exercised(number, round + number, &format!("scope{number}"))
                .network_use(uses(&[(place, number, number)]));
            due.add(&usage);
            // In another order each time: those who lock one key after the other must not wait for one another.
            let mut told = [(one, usage.clone()), (other, usage)];
            if number % 2 == 1 {
                told.reverse();
            }
            let (trial, realm) = (trial.clone(), realm.clone());
            contenders.push(async move { record_usage(&trial, &realm, &told).await });
        }
        let recorded = race(contenders).await;
        recorded.into_iter().collect::<Result<(), _>>()?;
        let due = [due.clone(), due];
        shows(trial, &realm, &[one, other], &due, "after uses at once").await?;
    }
    Ok(())
}

fn exercised(first: u64, last: u64, text: &str) -> KeyUsage {
    KeyUsage::new().scope_use(ScopeUse::new(after(first), after(last), scopes(text)))
}

fn seen(networks: &[(u32, u64, u64)]) -> KeyUsage {
    KeyUsage::new().network_use(uses(networks))
}

fn uses(networks: &[(u32, u64, u64)]) -> NetworkUse {
    let used = |&(number, first, last): &(u32, u64, u64)| {
        let network = ClientNetwork::of(Ipv4Addr::from_bits((number + 1) << 8).into());
        UsedNetwork::new(network, after(first), after(last))
    };
    let networks: Vec<UsedNetwork> = networks.iter().map(used).collect();
    let first = networks.iter().map(|it| it.first).min();
    NetworkUse::new(first.unwrap_or(ISSUED), networks, 0)
}

async fn record_usage<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    usages: &[(KeyId, KeyUsage)],
) -> Result<(), Violation> {
    let recorded = trial.store.record_usage(realm, usages).await;
    recorded.map_err(|error| failed("record_usage", &error))
}

async fn usages_of<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    ids: &[KeyId],
) -> Result<Vec<KeyUsage>, Violation> {
    let usages = trial.store.usages(realm, ids).await;
    usages.map_err(|error| failed("usages", &error))
}

/// A violation, if something else is known of these keys.
async fn shows<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    ids: &[KeyId],
    due: &[KeyUsage],
    when: &str,
) -> Result<(), Violation> {
    let usages = usages_of(trial, realm, ids).await?;
    trial.require(
        usages == due,
        format!("{when}, usages gave {usages:?}; expected {due:?}"),
    )
}
