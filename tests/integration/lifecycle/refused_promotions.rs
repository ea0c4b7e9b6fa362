//! Promotions that are refused, over one store and over two: the temporary key stays live.

use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ErrorKind, Grant, KeyId, KeyRing, KeyRingBuilder, RevocationReason, Timestamp,
};

use super::promoting::Counted;
use super::refusals::{IN_GRACE, LIFETIME, NOT_FOUND};
use super::{HOUR, House, MINUTE, verdict};
use crate::ring::stores::Tapped;
use crate::support::{START, issue};

fn alice() -> Grant {
    Grant::new("alice")
}

/// A ring that promotes from and one that promotes to, built with these options, over one store
/// or over two. Their commits are kept.
pub(super) fn rings(
    shared: bool,
    options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
) -> (House, KeyRing, KeyRing) {
    let house = House::new();
    let counted = |store: &MemoryStore| Counted {
        store: Arc::new(Tapped::new(store).recording(&house.changes)),
    };
    let from = counted(&house.store);
    let to = if shared {
        from.clone()
    } else {
        counted(&house.other)
    };
    let visitors = house.over(from, "visitors", |builder| builder);
    let customers = house.over(to, "customers", options);
    (house, visitors, customers)
}

#[tokio::test]
async fn r01_r24_a_promotion_to_a_lifetime_that_is_not_granted_changes_neither_store() {
    let second = Duration::from_secs(1);
    let too_long = ErrorKind::LifetimeTooLong { longest: HOUR };
    let too_long_text = "lifetime too long: this ring grants at most 1h";
    for shared in [true, false] {
        let (house, visitors, customers) = rings(shared, |builder| builder.max_lifetime(HOUR));
        let temporary = issue(&visitors, "cart").await;
        let id = temporary.record().id();
        house.changes();
        for (grant, kind, text) in [
            (Duration::ZERO, ErrorKind::InvalidLifetime, LIFETIME),
            (
                Duration::from_millis(999),
                ErrorKind::InvalidLifetime,
                LIFETIME,
            ),
            (Duration::MAX, ErrorKind::InvalidLifetime, LIFETIME),
            (HOUR + second, too_long, too_long_text),
        ]
        .map(|(lifetime, kind, text)| (alice().expires_in(lifetime), kind, text))
        .into_iter()
        .chain([
            (
                alice().expires_at(START),
                ErrorKind::InvalidLifetime,
                LIFETIME,
            ),
            (
                alice().not_before(Timestamp::MAX),
                ErrorKind::InvalidLifetime,
                LIFETIME,
            ),
            (
                alice().expires_at(Timestamp::LAST_YEAR),
                too_long,
                too_long_text,
            ),
            (
                alice().expires_at(Timestamp::MAX),
                ErrorKind::InvalidLifetime,
                LIFETIME,
            ),
            (alice().never_expires(), too_long, too_long_text),
        ]) {
            house
                .assert_refused(customers.promote(&visitors, id, grant), kind, text)
                .await;
        }
        assert_eq!(house.changes().len(), 0, "no commit was tried");
        assert_eq!(verdict(&visitors, &temporary).await, Ok("cart".to_owned()));
        let grant = alice().expires_in(HOUR);
        customers.promote(&visitors, id, grant).await.unwrap();
    }
}

#[tokio::test]
async fn r01_r31_a_key_that_cannot_be_promoted_changes_neither_store() {
    for shared in [true, false] {
        let (house, visitors, customers) = rings(shared, |builder| builder);
        let elsewhere = house.ring("elsewhere", |builder| builder);
        let nobody: KeyId = "0123456789AB".parse().unwrap();
        let foreign = issue(&elsewhere, "cart").await.record().id();
        let real = issue(&customers, "cart").await.record().id();
        let expired = visitors.issue(alice().expires_in(MINUTE)).await.unwrap();
        let expired = expired.record().id();
        let replaced = issue(&visitors, "cart").await.record().id();
        visitors.rotate(replaced, MINUTE).await.unwrap();
        house.clock.advance(MINUTE);
        let revoked = issue(&visitors, "cart").await.record().id();
        let reason = RevocationReason::KeyCompromise;
        visitors.revoke(revoked, reason).await.unwrap();
        let superseded = issue(&visitors, "cart").await.record().id();
        visitors.rotate_now(superseded).await.unwrap();
        let in_grace = issue(&visitors, "cart").await;
        let in_grace_id = in_grace.record().id();
        visitors.rotate(in_grace_id, MINUTE).await.unwrap();
        house.changes();

        let expired_text = "the key has expired: issue a new one";
        let replaced_text = "the key was replaced: use the newest key of its lineage";
        let revoked_text = "the key is revoked: issue a new one";
        for (id, kind, text) in [
            (nobody, ErrorKind::NotFound, NOT_FOUND),
            (foreign, ErrorKind::NotFound, NOT_FOUND),
            (real, ErrorKind::NotFound, NOT_FOUND),
            (expired, ErrorKind::KeyExpired, expired_text),
            (replaced, ErrorKind::KeyReplaced, replaced_text),
            (revoked, ErrorKind::KeyRevoked, revoked_text),
            (superseded, ErrorKind::KeyRevoked, revoked_text),
            (in_grace_id, ErrorKind::InGrace, IN_GRACE),
        ] {
            let promoted = customers.promote(&visitors, id, alice());
            house.assert_refused(promoted, kind, text).await;
        }
        assert_eq!(house.changes().len(), 0, "no commit was tried");
        assert_eq!(verdict(&visitors, &in_grace).await, Ok("cart".to_owned()));
    }
}

#[tokio::test]
async fn r01_r04_a_promotion_beyond_the_policy_of_its_ring_changes_neither_store() {
    let invalid_subject = "invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start";
    let invalid_label = "invalid label: use up to 256 bytes without control and format characters, and no = at the start";
    for shared in [true, false] {
        let (house, visitors, customers) = rings(shared, |builder| {
            builder
                .grantable_scopes(["cart", "orders"])
                .max_keys_per_subject(1)
        });
        issue(&customers, "cart").await;
        let temporary = issue(&visitors, "cart").await;
        let id = temporary.record().id();
        house.changes();
        let bob = || Grant::new("bob");
        for (grant, kind, text) in [
            (
                bob().scopes(["admin", "cart"]),
                ErrorKind::ScopeNotGrantable,
                "scope not grantable: this ring grants only cart orders",
            ),
            (
                alice().scopes(["cart"]),
                ErrorKind::TooManyKeys { limit: 1 },
                "too many keys: this ring lets a subject hold 1; revoke a lineage first",
            ),
            (Grant::new(""), ErrorKind::InvalidSubject, invalid_subject),
            (bob().label("a\nb"), ErrorKind::InvalidLabel, invalid_label),
        ] {
            let promoted = customers.promote(&visitors, id, grant);
            house.assert_refused(promoted, kind, text).await;
        }
        // The store alone knows the keys of a subject.
        assert_eq!(house.changes().len(), 1);
        assert_eq!(verdict(&visitors, &temporary).await, Ok("cart".to_owned()));
        customers.promote(&visitors, id, bob()).await.unwrap();
    }
}
