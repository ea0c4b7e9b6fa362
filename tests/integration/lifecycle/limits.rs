//! The limits of a ring's policy, and policies that make no sense.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tower_api_key::store::MemoryStore;
use tower_api_key::{ErrorKind, Grant, KeyRing, KeyRingBuilder, RevocationReason, Timestamp};

use super::{DAY, HOUR, House, MINUTE, verdict};
use crate::ring::stores::Tapped;
use crate::support::{IMPORTED, START, issue, poll_once};

/// The longest lifetime that a policy may set.
const CENTURY: Duration = Duration::from_hours(100 * 8766);

const TOO_MANY: ErrorKind = ErrorKind::TooManyKeys { limit: 2 };
const TOO_MANY_TEXT: &str =
    "too many keys: this ring lets a subject hold 2; revoke a lineage first";

#[tokio::test]
async fn a_subject_holds_no_more_keys_than_the_ring_lets_it() {
    let house = House::new();
    let two = |builder: KeyRingBuilder| builder.max_keys_per_subject(2).accept_imports();
    let ring = house.recorded("orders", two);
    let alice = || Grant::new("alice");
    let first = issue(&ring, "read").await.record().id();
    // A key that is not yet valid counts too.
    let later = START.checked_add(HOUR).unwrap();
    ring.issue(alice().not_before(later)).await.unwrap();
    let bobs = ring.issue(Grant::new("bob")).await.unwrap();
    house.changes();

    house
        .assert_refused(ring.issue(alice()), TOO_MANY, TOO_MANY_TEXT)
        .await;
    let import = ring.import_plaintext(alice().expires_in(HOUR), IMPORTED);
    house.assert_refused(import, TOO_MANY, TOO_MANY_TEXT).await;
    let handed_over = ring.regrant(bobs.record().id(), alice());
    house
        .assert_refused(handed_over, TOO_MANY, TOO_MANY_TEXT)
        .await;
    let billing = house.recorded("billing", two);
    let temporary = issue(&billing, "read").await.record().id();
    house.changes();
    let promoted = ring.promote(&billing, temporary, alice());
    house
        .assert_refused(promoted, TOO_MANY, TOO_MANY_TEXT)
        .await;
    // The store checks the limit in the commit.
    assert_eq!(house.changes().len(), 1);

    // At the limit, a key can be replaced in every way. A key in its grace period is not counted.
    let first = ring.rotate(first, MINUTE).await.unwrap().record().id();
    house
        .assert_refused(ring.issue(alice()), TOO_MANY, TOO_MANY_TEXT)
        .await;
    let first = ring.rotate_now(first).await.unwrap().record().id();
    let first = ring.regrant(first, alice()).await.unwrap().record().id();
    house
        .assert_refused(ring.issue(alice()), TOO_MANY, TOO_MANY_TEXT)
        .await;

    // A revoked key and an expired key make room.
    ring.revoke(first, RevocationReason::CessationOfOperation)
        .await
        .unwrap();
    ring.issue(alice().expires_in(MINUTE)).await.unwrap();
    house
        .assert_refused(ring.issue(alice()), TOO_MANY, TOO_MANY_TEXT)
        .await;
    house.clock.advance(MINUTE);
    ring.issue(alice()).await.unwrap();
    house
        .assert_refused(ring.issue(alice()), TOO_MANY, TOO_MANY_TEXT)
        .await;
}

/// The holder is demoted after the limit was lowered.
#[tokio::test]
async fn r32_a_limit_that_was_lowered_keeps_no_key_from_being_regranted() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder.max_keys_per_subject(5));
    let admin = issue(&ring, "admin").await;
    for _ in 0..3 {
        issue(&ring, "read").await;
    }
    let ring = house.ring("orders", |builder| builder.max_keys_per_subject(2));
    let read = || Grant::new("alice").scopes(["read"]);
    let demoted = ring.regrant(admin.record().id(), read()).await.unwrap();
    assert!(verdict(&ring, &admin).await.is_err());
    assert_eq!(verdict(&ring, &demoted).await, Ok("read".to_owned()));
    // It is no way to one key more, for this subject or another.
    house
        .assert_refused(ring.issue(read()), TOO_MANY, TOO_MANY_TEXT)
        .await;
    let bobs = ring.issue(Grant::new("bob")).await.unwrap();
    let handed_over = ring.regrant(bobs.record().id(), read());
    house
        .assert_refused(handed_over, TOO_MANY, TOO_MANY_TEXT)
        .await;
}

/// The keys of a lineage count as one, even if only one of them remains.
#[tokio::test]
async fn a_key_in_its_grace_counts_where_the_one_that_replaced_it_is_gone() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder.max_keys_per_subject(2));
    let other = issue(&ring, "read").await;
    for reason in [
        RevocationReason::CessationOfOperation,
        RevocationReason::Superseded,
    ] {
        let old = issue(&ring, "read").await;
        let new = ring.rotate(old.record().id(), MINUTE).await.unwrap();
        ring.revoke(new.record().id(), reason).await.unwrap();
        assert_eq!(verdict(&ring, &old).await, Ok("read".to_owned()));
        house
            .assert_refused(ring.issue(Grant::new("alice")), TOO_MANY, TOO_MANY_TEXT)
            .await;
        house.clock.advance(MINUTE);
    }
    assert_eq!(verdict(&ring, &other).await, Ok("read".to_owned()));
    ring.issue(Grant::new("alice")).await.unwrap();
}

#[tokio::test]
async fn a_key_in_its_grace_is_not_counted_beside_the_one_that_replaced_it() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder.max_keys_per_subject(2));
    let alice = || Grant::new("alice");
    let first = issue(&ring, "read").await;
    let second = ring.rotate(first.record().id(), MINUTE).await.unwrap();
    let third = ring.issue(alice()).await.unwrap();
    house
        .assert_refused(ring.issue(alice()), TOO_MANY, TOO_MANY_TEXT)
        .await;
    for (issued, held) in [(&first, "read"), (&second, "read"), (&third, "")] {
        assert_eq!(verdict(&ring, issued).await, Ok(held.to_owned()));
    }
}

/// The loser of a race for a key gets an error about the key's state, and not about the limit.
#[tokio::test]
async fn a_lost_race_is_not_taken_for_a_full_house() {
    let one = |builder: KeyRingBuilder| builder.max_keys_per_subject(1);
    let alice = || Grant::new("alice");
    let house = House::new();
    let rival = house.ring("orders", one);
    let id = issue(&rival, "read").await.record().id();
    let lists = AtomicUsize::new(0);
    let store = Tapped::new(&house.store).after_list(move || {
        if lists.fetch_add(1, Ordering::Relaxed) == 0 {
            let regrant = poll_once(&mut Box::pin(rival.regrant(id, alice())));
            assert!(matches!(regrant, Poll::Ready(Ok(_))));
        }
    });
    let ring = house.over(store, "orders", one);
    let error = ring.regrant(id, alice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyRevoked);
}

#[tokio::test]
async fn r33_a_lifetime_that_is_not_said_is_ninety_days_or_what_the_ring_allows() {
    let house = House::new();
    for (ring, expected) in [
        (house.ring("orders", |builder| builder), 90 * DAY),
        (
            house.ring("orders", KeyRingBuilder::unlimited_lifetime),
            90 * DAY,
        ),
        (
            house.ring("orders", |builder| builder.max_lifetime(HOUR)),
            HOUR,
        ),
        (
            house.ring("orders", |builder| builder.max_lifetime(365 * DAY)),
            90 * DAY,
        ),
    ] {
        let end = START.checked_add(expected);
        let issued = issue(&ring, "read").await;
        assert_eq!(issued.record().expires_at(), end);
        let regranted = ring
            .regrant(issued.record().id(), Grant::new("alice"))
            .await;
        assert_eq!(regranted.unwrap().record().expires_at(), end);
    }
}

/// At the end of time, which is the reading of a clock that fails, no key can begin.
#[tokio::test]
async fn r24_no_key_is_issued_that_would_never_begin() {
    let text = "invalid lifetime: a key must end after it begins, within 100 years and the year \
                9999 (milliseconds taken for seconds?), and later than every expiry that this \
                ring has already enforced";
    let house = House::new();
    let ring = house.recorded("orders", KeyRingBuilder::unlimited_lifetime);
    let alice = || Grant::new("alice").never_expires();
    let issued = ring.issue(alice()).await.unwrap();
    let id = issued.record().id();
    house.changes();
    let late = ring.issue(alice().not_before(Timestamp::MAX));
    house
        .assert_refused(late, ErrorKind::InvalidLifetime, text)
        .await;

    house.clock.set(Timestamp::MAX);
    let kind = ErrorKind::InvalidLifetime;
    house.assert_refused(ring.issue(alice()), kind, text).await;
    // At that time the old key has expired too.
    let kind = ErrorKind::KeyExpired;
    let text = "the key has expired: issue a new one";
    house
        .assert_refused(ring.regrant(id, alice()), kind, text)
        .await;
    house.assert_refused(ring.rotate_now(id), kind, text).await;
    assert_eq!(house.changes().len(), 0);
    house.clock.set(START);
    assert_eq!(verdict(&ring, &issued).await, Ok(String::new()));
}

#[tokio::test]
async fn r04_a_sign_up_ring_grants_no_admin_and_no_year() {
    let house = House::new();
    let visitors = house.recorded("orders", |builder| {
        builder.grantable_scopes(["cart"]).max_lifetime(15 * MINUTE)
    });
    let admin = Grant::new("visitor").scopes(["admin"]);
    house
        .assert_refused(
            visitors.issue(admin),
            ErrorKind::ScopeNotGrantable,
            "scope not grantable: this ring grants only cart",
        )
        .await;
    let year = Grant::new("visitor").expires_in(365 * DAY);
    house
        .assert_refused(
            visitors.issue(year),
            ErrorKind::LifetimeTooLong {
                longest: 15 * MINUTE,
            },
            "lifetime too long: this ring grants at most 15m",
        )
        .await;
    assert_eq!(house.changes().len(), 0, "no commit was tried");
    let cart = issue(&visitors, "cart").await;
    assert_eq!(verdict(&visitors, &cart).await, Ok("cart".to_owned()));
}

type Options = fn(KeyRingBuilder) -> KeyRingBuilder;

#[test]
fn a_policy_that_makes_no_sense_builds_no_ring() {
    let almost = Duration::from_millis(999);
    let options: [(Options, &str); 11] = [
        (
            |builder| builder.max_lifetime(Duration::ZERO),
            "max_lifetime is under a second",
        ),
        (
            |builder| builder.max_lifetime(Duration::from_millis(999)),
            "max_lifetime is under a second",
        ),
        (
            |builder| builder.max_grace(Duration::ZERO),
            "max_grace is under a second",
        ),
        (
            |builder| builder.max_grace(Duration::from_millis(999)),
            "max_grace is under a second",
        ),
        (
            |builder| builder.max_keys_per_subject(0),
            "max_keys_per_subject is zero",
        ),
        (
            |builder| builder.lookup_timeout(Duration::ZERO),
            "lookup_timeout is zero",
        ),
        (
            |builder| builder.watch_interval(Duration::ZERO),
            "watch_interval is zero",
        ),
        (
            |builder| builder.upkeep_interval(Duration::ZERO),
            "upkeep_interval is zero",
        ),
        (
            |builder| builder.max_lifetime(CENTURY + Duration::from_secs(1)),
            "max_lifetime is over 100 years: milliseconds taken for seconds?",
        ),
        (
            |builder| builder.max_grace(CENTURY + Duration::from_secs(1)),
            "max_grace is over 100 years: milliseconds taken for seconds?",
        ),
        (
            |builder| builder.retention(CENTURY + Duration::from_secs(1)),
            "retention is over 100 years: milliseconds taken for seconds?",
        ),
    ];
    for (option, problem) in options {
        let error = option(KeyRing::builder("acme"))
            .build(MemoryStore::new())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPolicy);
        assert_eq!(error.to_string(), format!("invalid policy: {problem}"));
    }
    let longest = KeyRing::builder("acme")
        .max_lifetime(CENTURY)
        .max_grace(CENTURY)
        .retention(CENTURY);
    longest.build(MemoryStore::new()).unwrap();
    let error = KeyRing::builder("acme")
        .grantable_scopes(["read write"])
        .build(MemoryStore::new())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidScope);
    // Intervals under a second are allowed: they are for timers, not for timestamps.
    KeyRing::builder("acme")
        .watch_interval(almost)
        .upkeep_interval(almost)
        .retention(Duration::ZERO)
        .build(MemoryStore::new())
        .unwrap();
}
