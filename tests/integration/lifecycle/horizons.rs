//! A clock that ran ahead and was set back: a ring goes by the latest end for which it has refused
//! a key.

use std::time::Duration;

use tower_api_key::{ErrorKind, Grant, InvalidCause, KeyDigest, KeyRing};

use super::refusals::{GRACE, LIFETIME, assert_all_refused};
use super::refused_promotions::rings;
use super::{House, MINUTE, verdict};
use crate::support::{IMPORTED, START, issue};

const SEEN: Duration = Duration::from_mins(10);
/// The shortest lifetime that is granted after [`SEEN`].
const LONGER: Duration = SEEN.saturating_add(Duration::from_secs(1));

fn bob() -> Grant {
    Grant::new("bob")
}

/// The ring refuses a key that ends at [`SEEN`], and the clock is set back.
async fn look_ahead(house: &House, ring: &KeyRing) {
    let brief = ring.issue(bob().expires_in(SEEN)).await.unwrap();
    house.clock.set(START.checked_add(SEEN).unwrap());
    assert_eq!(verdict(ring, &brief).await, Err(InvalidCause::Expired));
    house.clock.set(START);
}

#[tokio::test]
async fn r24_a_clock_that_is_set_back_makes_no_dead_key_fit_to_be_replaced() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let expired = ring.issue(bob().expires_in(MINUTE)).await.unwrap();
    let id = expired.record().id();
    house.clock.advance(MINUTE);
    ring.verify(expired.secret().expose().as_bytes())
        .await
        .unwrap_err();
    house.clock.set(START);
    let text = "the key has expired: issue a new one";
    assert_all_refused(&house, &ring, id, ErrorKind::KeyExpired, text).await;
}

/// No new end is one that the ring takes for over, so that no holder in the grace period is taken
/// for a thief.
#[tokio::test]
async fn r24_no_grace_and_no_lifetime_ends_before_what_the_ring_has_seen() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| {
        builder.revoke_lineage_on_reuse().accept_imports()
    });
    let old = issue(&ring, "read").await;
    let id = old.record().id();
    look_ahead(&house, &ring).await;
    house.changes();

    let kind = ErrorKind::InvalidLifetime;
    for end in [MINUTE, SEEN] {
        let rotated = ring.rotate(id, end);
        house
            .assert_refused(rotated, ErrorKind::InvalidGrace, GRACE)
            .await;
        let grant = || bob().expires_in(end);
        house
            .assert_refused(ring.issue(grant()), kind, LIFETIME)
            .await;
        house
            .assert_refused(ring.regrant(id, grant()), kind, LIFETIME)
            .await;
        let import = ring.import_digest(grant(), KeyDigest::sha256(IMPORTED.as_bytes()));
        house.assert_refused(import, kind, LIFETIME).await;
        let import = ring.import_plaintext(grant(), IMPORTED);
        house.assert_refused(import, kind, LIFETIME).await;
        let import = ring.import_insecure_plaintext(grant(), IMPORTED);
        house.assert_refused(import, kind, LIFETIME).await;
    }
    assert_eq!(house.changes().len(), 0, "no commit was tried");

    let issued = ring.issue(bob().expires_in(LONGER)).await.unwrap();
    let new = ring.rotate(id, LONGER).await.unwrap();
    for now in [START, START.checked_add(SEEN).unwrap()] {
        house.clock.set(now);
        for key in [&issued, &old, &new] {
            verdict(&ring, key).await.unwrap();
        }
    }
}

#[tokio::test]
async fn r24_a_ring_that_has_seen_all_that_it_grants_renews_no_key() {
    let house = House::new();
    let plain = house.ring("orders", |builder| builder);
    let brief = house.recorded("orders", |builder| builder.max_lifetime(SEEN));
    let issued = issue(&plain, "read").await;
    let id = issued.record().id();
    look_ahead(&house, &brief).await;
    house.changes();
    let kind = ErrorKind::InvalidLifetime;
    house
        .assert_refused(brief.rotate(id, LONGER), kind, LIFETIME)
        .await;
    house
        .assert_refused(brief.rotate_now(id), kind, LIFETIME)
        .await;
    house
        .assert_refused(brief.regrant(id, bob()), kind, LIFETIME)
        .await;
    assert_eq!(house.changes().len(), 0, "no commit was tried");

    house.clock.advance(Duration::from_secs(1));
    let new = brief.rotate_now(id).await.unwrap();
    assert_eq!(new.record().expires_at(), START.checked_add(LONGER));
    assert_eq!(verdict(&brief, &new).await, Ok("read".to_owned()));
}

#[tokio::test]
async fn r24_a_promotion_goes_by_what_both_rings_have_seen() {
    for (shared, seen_by) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let (house, visitors, customers) = rings(shared, |builder| builder);
        let temporary = issue(&visitors, "cart").await;
        let id = temporary.record().id();
        look_ahead(&house, [&visitors, &customers][seen_by]).await;
        house.changes();
        let promote = |lifetime| customers.promote(&visitors, id, bob().expires_in(lifetime));
        for end in [MINUTE, SEEN] {
            house
                .assert_refused(promote(end), ErrorKind::InvalidLifetime, LIFETIME)
                .await;
        }
        assert_eq!(house.changes().len(), 0, "no commit was tried");
        assert_eq!(verdict(&visitors, &temporary).await, Ok("cart".to_owned()));
        let real = promote(LONGER).await.unwrap();
        assert_eq!(verdict(&customers, &real).await, Ok(String::new()));
    }
}
