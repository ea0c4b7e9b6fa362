//! Bad input: each a typed error, and no change in the store.

use std::time::Duration;

use tower_api_key::{
    ErrorKind, Grant, KeyId, KeyRing, KeyRingBuilder, RevocationReason, Scope, ScopeSet,
};

use super::{DAY, HOUR, House, MINUTE};
use crate::support::{IMPORTED, START, issue};

pub(super) const NOT_FOUND: &str = "no such key in this realm";
pub(super) const LIFETIME: &str = "invalid lifetime: a key must end after it begins, within 100 \
                                   years and the year 9999 (milliseconds taken for seconds?), and \
                                   later than every expiry that this ring has already enforced";
pub(super) const GRACE: &str = "invalid grace period: use at least one second, within 100 years \
                                and the year 9999 (milliseconds taken for seconds?), that ends \
                                later than every expiry that this ring has already enforced; to \
                                have no grace period, use rotate_now";
pub(super) const IN_GRACE: &str = "rotation in progress: a key of the lineage is in its grace period; use the newest key, and wait for the end of the grace period or use rotate_now";

const NO_EXPIRY: &str = "no expiry: an imported key has no default lifetime; set its old expiry \
                         or a new one, or that it never expires";

fn alice() -> Grant {
    Grant::new("alice")
}

fn read() -> ScopeSet {
    "read".parse().unwrap()
}

/// Every operation that names a living key, refused with the same message.
pub(super) async fn assert_all_refused(
    house: &House,
    ring: &KeyRing,
    id: KeyId,
    kind: ErrorKind,
    text: &str,
) {
    house
        .assert_refused(ring.rotate(id, HOUR), kind, text)
        .await;
    house.assert_refused(ring.rotate_now(id), kind, text).await;
    house
        .assert_refused(ring.regrant(id, alice()), kind, text)
        .await;
    house
        .assert_refused(ring.narrow(id, &read()), kind, text)
        .await;
    for realm in ["orders", "billing", "elsewhere"] {
        let other = house.ring(realm, |builder| builder);
        house
            .assert_refused(other.promote(ring, id, alice()), kind, text)
            .await;
    }
}

#[tokio::test]
async fn r31_an_unknown_id_and_one_of_another_realm_are_the_same() {
    let house = House::new();
    let billing = house.ring("billing", |builder| builder);
    let orders = house.recorded("orders", |builder| builder);
    let nobody: KeyId = "0123456789AB".parse().unwrap();
    let foreign = issue(&billing, "read").await.record().id();
    for id in [nobody, foreign] {
        assert_all_refused(&house, &orders, id, ErrorKind::NotFound, NOT_FOUND).await;
        let reason = RevocationReason::KeyCompromise;
        house
            .assert_refused(orders.revoke(id, reason), ErrorKind::NotFound, NOT_FOUND)
            .await;
        let lineage = orders.revoke_lineage(id, reason);
        house
            .assert_refused(lineage, ErrorKind::NotFound, NOT_FOUND)
            .await;
    }
    let reason = RevocationReason::KeyCompromise;
    let before = house.records().await;
    assert_eq!(orders.revoke_subject("alice", reason).await.unwrap(), 0);
    assert_eq!(house.records().await, before);
    assert_eq!(house.changes().len(), 0, "no commit was tried");
}

#[tokio::test]
async fn r24_no_duration_is_zero_or_overflows() {
    let house = House::new();
    let unlimited = house.recorded("orders", |builder| {
        builder
            .unlimited_lifetime()
            .max_grace(Duration::from_hours(100 * 8766))
    });
    let limited = house.recorded("orders", KeyRingBuilder::accept_imports);
    let issued = unlimited.issue(alice().never_expires()).await.unwrap();
    let id = issued.record().id();
    house.changes();

    for grace in [Duration::ZERO, Duration::from_millis(999)] {
        let outcome = unlimited.rotate(id, grace);
        house
            .assert_refused(outcome, ErrorKind::InvalidGrace, GRACE)
            .await;
    }
    // The error for the import of an expired key says so, and so does the error for a key without
    // an end.
    let lifetime = (ErrorKind::InvalidLifetime, LIFETIME);
    let expired = (
        ErrorKind::KeyExpired,
        "the key has expired: issue a new one",
    );
    let not_said = (ErrorKind::ExpiryNotSaid, NO_EXPIRY);
    for (grant, (kind, text)) in [
        (alice().expires_in(Duration::ZERO), lifetime),
        (alice().expires_in(Duration::from_millis(999)), lifetime),
        (alice().expires_in(Duration::MAX), lifetime),
        (alice().expires_at(START), expired),
        (alice().not_before(tower_api_key::Timestamp::MAX), not_said),
    ] {
        for ring in [&unlimited, &limited] {
            house
                .assert_refused(
                    ring.issue(grant.clone()),
                    ErrorKind::InvalidLifetime,
                    LIFETIME,
                )
                .await;
            house
                .assert_refused(
                    ring.regrant(id, grant.clone()),
                    ErrorKind::InvalidLifetime,
                    LIFETIME,
                )
                .await;
        }
        let import = limited.import_plaintext(grant, IMPORTED);
        house.assert_refused(import, kind, text).await;
    }
    assert_eq!(house.changes().len(), 0, "no commit was tried");
}

#[tokio::test]
async fn r03_r33_a_limit_that_is_passed_is_named_with_its_value() {
    let house = House::new();
    let plain = house.recorded("orders", |builder| builder);
    let strict = house.recorded("orders", |builder| {
        builder.max_lifetime(HOUR).max_grace(MINUTE)
    });
    let id = issue(&plain, "read").await.record().id();
    house.changes();
    let second = Duration::from_secs(1);
    for (ring, lifetime, grace, lifetime_text, grace_text) in [
        (
            &plain,
            90 * DAY,
            DAY,
            "lifetime too long: this ring grants at most 90d",
            "grace period too long: this ring grants at most 24h",
        ),
        (
            &strict,
            HOUR,
            MINUTE,
            "lifetime too long: this ring grants at most 1h",
            "grace period too long: this ring grants at most 1m",
        ),
    ] {
        let too_long = ErrorKind::LifetimeTooLong { longest: lifetime };
        let end = START.checked_add(lifetime + second).unwrap();
        for grant in [
            alice().expires_in(lifetime + second),
            alice().expires_at(end),
            alice().never_expires(),
            // A late start does not extend the limit.
            alice()
                .not_before(START.checked_add(second).unwrap())
                .expires_in(lifetime),
        ] {
            house
                .assert_refused(ring.issue(grant.clone()), too_long, lifetime_text)
                .await;
            house
                .assert_refused(ring.regrant(id, grant), too_long, lifetime_text)
                .await;
        }
        let too_long = ErrorKind::GraceTooLong { longest: grace };
        for grace in [grace + second, Duration::MAX] {
            house
                .assert_refused(ring.rotate(id, grace), too_long, grace_text)
                .await;
        }
        assert_eq!(house.changes().len(), 0, "no commit was tried");
        // At the limit both are granted.
        ring.issue(alice().expires_in(lifetime)).await.unwrap();
        let other = issue(&plain, "read").await.record().id();
        ring.rotate(other, grace).await.unwrap();
        house.changes();
    }
}

#[tokio::test]
async fn r03_a_dead_key_is_replaced_by_nothing() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let revoked = issue(&ring, "read").await.record().id();
    ring.revoke(revoked, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let superseded = issue(&ring, "read").await.record().id();
    ring.rotate_now(superseded).await.unwrap();
    let replaced = issue(&ring, "read").await.record().id();
    ring.rotate(replaced, MINUTE).await.unwrap();
    let expired = ring.issue(alice().expires_in(MINUTE)).await.unwrap();
    let expired = expired.record().id();
    house.clock.advance(MINUTE);
    for (id, kind, text) in [
        (
            expired,
            ErrorKind::KeyExpired,
            "the key has expired: issue a new one",
        ),
        (
            replaced,
            ErrorKind::KeyReplaced,
            "the key was replaced: use the newest key of its lineage",
        ),
        (
            revoked,
            ErrorKind::KeyRevoked,
            "the key is revoked: issue a new one",
        ),
        (
            superseded,
            ErrorKind::KeyRevoked,
            "the key is revoked: issue a new one",
        ),
    ] {
        assert_all_refused(&house, &ring, id, kind, text).await;
    }
}

#[tokio::test]
async fn r03_invariant_5_a_second_rotation_in_the_grace_is_refused_and_moves_nothing() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let old = issue(&ring, "read").await.record().id();
    let new = ring.rotate(old, MINUTE).await.unwrap().record().id();
    house.changes();
    house.clock.advance(MINUTE / 2);
    assert_all_refused(&house, &ring, old, ErrorKind::InGrace, IN_GRACE).await;
    let twice = ring.rotate(new, HOUR);
    house
        .assert_refused(twice, ErrorKind::InGrace, IN_GRACE)
        .await;
    assert_eq!(house.changes().len(), 0, "no commit was tried");
    let record = ring.get(old).await.unwrap().unwrap();
    assert_eq!(record.grace_ends_at(), START.checked_add(MINUTE));
}

#[tokio::test]
async fn r01_narrowing_takes_no_empty_set_and_no_other_scope() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let id = issue(&ring, "read list").await.record().id();
    house.changes();
    let empty = "empty scopes: to take every scope away, revoke the key";
    house
        .assert_refused(
            ring.narrow(id, &ScopeSet::default()),
            ErrorKind::EmptyScopes,
            empty,
        )
        .await;
    let widen = "narrowing cannot add scopes: regrant the key to change what it may do";
    for wider in ["write", "read write", "list read write", "rea", "read:x"] {
        house
            .assert_refused(
                ring.narrow(id, &wider.parse().unwrap()),
                ErrorKind::WouldWiden,
                widen,
            )
            .await;
    }
    assert_eq!(house.changes().len(), 0, "no commit was tried");
}

#[tokio::test]
async fn r04_a_ring_grants_no_scope_beyond_its_policy() {
    let house = House::new();
    let generous = house.ring("orders", |builder| builder);
    let ring = house.recorded("orders", |builder| {
        builder.grantable_scopes(["write", "read"]).accept_imports()
    });
    let none: [&str; 0] = [];
    let nothing = house.recorded("orders", |builder| builder.grantable_scopes(none));
    let rich = issue(&generous, "admin read").await.record().id();
    let poor = issue(&generous, "read").await.record().id();
    let admin = || alice().scopes(["read", "admin"]);
    let kind = ErrorKind::ScopeNotGrantable;
    let text = "scope not grantable: this ring grants only read write";
    house.assert_refused(ring.issue(admin()), kind, text).await;
    house
        .assert_refused(
            ring.import_plaintext(admin().expires_in(Duration::from_hours(1)), IMPORTED),
            kind,
            text,
        )
        .await;
    house
        .assert_refused(ring.regrant(poor, admin()), kind, text)
        .await;
    house
        .assert_refused(ring.promote(&generous, poor, admin()), kind, text)
        .await;
    // Scopes that were granted before the policy shrank are not renewed.
    house
        .assert_refused(ring.rotate(rich, MINUTE), kind, text)
        .await;
    house
        .assert_refused(ring.rotate_now(rich), kind, text)
        .await;
    let text = "scope not grantable: this ring grants none";
    let one = alice().scopes(["read"]);
    house.assert_refused(nothing.issue(one), kind, text).await;
    assert_eq!(house.changes().len(), 0, "no commit was tried");

    nothing.issue(alice()).await.unwrap();
    ring.narrow(rich, &read()).await.unwrap();
    ring.rotate(rich, MINUTE).await.unwrap();
}

#[tokio::test]
async fn a_grant_for_nobody_is_refused() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let id = issue(&ring, "read").await.record().id();
    let text = "invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start";
    for subject in [String::new(), "a\nb".to_owned(), "a".repeat(257)] {
        let grant = Grant::new(subject);
        house
            .assert_refused(
                ring.regrant(id, grant.clone()),
                ErrorKind::InvalidSubject,
                text,
            )
            .await;
        house
            .assert_refused(ring.issue(grant), ErrorKind::InvalidSubject, text)
            .await;
    }
    assert!(Scope::new("").is_err_and(|error| error.kind() == ErrorKind::InvalidScope));
}
