//! Rotating, regranting and narrowing.

use std::sync::Mutex;
use std::task::Poll;

use tower_api_key::{
    ErrorKind, Grant, InvalidCause, KeyRingBuilder, Pepper, RevocationReason, Timestamp,
};

use super::{DAY, HOUR, House, MINUTE, verdict};
use crate::ring::stores::Tapped;
use crate::support::{START, issue, poll_once};

#[tokio::test]
async fn r03_invariant_5_a_rotation_copies_the_authority_of_the_record() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let grant = Grant::new("alice")
        .scopes(["read", "write"])
        .expires_in(DAY)
        .label("laptop")
        .metadata([("tier", "gold")]);
    let first = ring.issue(grant).await.unwrap();
    house.changes();
    house.clock.advance(HOUR);
    let now = START.checked_add(HOUR).unwrap();

    let second = ring.rotate(first.record().id(), MINUTE).await.unwrap();
    let mut expected = first.record().to_parts();
    let found = second.record().to_parts();
    expected.id = found.id;
    expected.digest = found.digest;
    expected.issued_at = now;
    expected.expires_at = now.checked_add(DAY);
    expected.generation = 1;
    assert_eq!(found, expected);
    assert_ne!(found.digest, *first.record().digest());
    assert_eq!(
        ring.get(found.id).await.unwrap().as_ref(),
        Some(second.record())
    );

    let mut rotated = first.record().to_parts();
    rotated.grace_ends_at = now.checked_add(MINUTE);
    rotated.version = 2;
    let old = ring.get(rotated.id).await.unwrap().unwrap();
    assert_eq!(old.to_parts(), rotated);
    assert_eq!(house.changes().len(), 1, "one commit");

    for issued in [&first, &second] {
        assert_eq!(verdict(&ring, issued).await, Ok("read write".to_owned()));
    }
    house.clock.advance(MINUTE);
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Replaced));
    assert_eq!(verdict(&ring, &second).await, Ok("read write".to_owned()));
}

#[tokio::test]
async fn r03_the_grace_ends_no_later_than_the_key_would_have() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let brief = Grant::new("alice").expires_in(MINUTE);
    let first = ring.issue(brief).await.unwrap();
    house.clock.advance(MINUTE / 2);
    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    let old = ring.get(first.record().id()).await.unwrap().unwrap();
    assert_eq!(old.grace_ends_at(), START.checked_add(MINUTE));
    assert_eq!(old.valid_until(), START.checked_add(MINUTE).unwrap());
    house.clock.advance(MINUTE / 2);
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Replaced));
    // Its own lifetime is as long as the old one's was, and begins at the rotation.
    assert_eq!(verdict(&ring, &second).await, Ok(String::new()));
    house.clock.advance(MINUTE / 2);
    assert_eq!(verdict(&ring, &second).await, Err(InvalidCause::Expired));
}

#[tokio::test]
async fn r33_a_rotation_renews_the_lifetime_within_what_the_ring_allows_today() {
    let house = House::new();
    let unlimited = house.ring("orders", KeyRingBuilder::unlimited_lifetime);
    let limited = |longest| house.ring("orders", move |builder| builder.max_lifetime(longest));
    let year = || Grant::new("alice").expires_in(365 * DAY);
    let never = || Grant::new("alice").never_expires();
    for (grant, ring, expected) in [
        (year(), unlimited.clone(), Some(365 * DAY)),
        (year(), limited(30 * DAY), Some(30 * DAY)),
        (year(), limited(500 * DAY), Some(365 * DAY)),
        (never(), unlimited.clone(), None),
        (never(), limited(500 * DAY), Some(90 * DAY)),
        (never(), limited(30 * DAY), Some(30 * DAY)),
    ] {
        let old = unlimited.issue(grant).await.unwrap();
        let new = ring.rotate(old.record().id(), MINUTE).await.unwrap();
        let end = expected.map(|lifetime| START.checked_add(lifetime).unwrap());
        assert_eq!(new.record().expires_at(), end);
        let at_once = ring.rotate_now(new.record().id()).await.unwrap();
        assert_eq!(at_once.record().expires_at(), end);
    }
}

#[tokio::test]
async fn r08_a_rotation_digests_under_the_current_pepper() {
    let house = House::new();
    let pepper = |version: u8| Pepper::new(version.into(), vec![version; 32]).unwrap();
    let earlier = house.ring("orders", |builder| builder.pepper(pepper(1)));
    let current = house.ring("orders", |builder| {
        builder.pepper(pepper(2)).earlier_pepper(pepper(1))
    });
    let old = issue(&earlier, "read").await;
    assert_eq!(old.record().pepper_version(), Some(1));
    let new = current.rotate(old.record().id(), MINUTE).await.unwrap();
    assert_eq!(new.record().pepper_version(), Some(2));
    for issued in [&old, &new] {
        assert_eq!(verdict(&current, issued).await, Ok("read".to_owned()));
    }
    assert_eq!(verdict(&earlier, &new).await, Err(InvalidCause::Unknown));
}

#[tokio::test]
async fn r03_a_rotation_at_once_ends_the_old_key_and_the_one_in_grace() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let first = issue(&ring, "read").await;
    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    house.changes();
    let third = ring.rotate_now(second.record().id()).await.unwrap();
    assert_eq!(house.changes().len(), 1, "one commit");
    // The first was in its grace period, so its user has done nothing wrong.
    for (dead, cause) in [
        (&first, InvalidCause::Revoked),
        (&second, InvalidCause::Replaced),
    ] {
        assert_eq!(verdict(&ring, dead).await, Err(cause));
        let record = ring.get(dead.record().id()).await.unwrap().unwrap();
        let revocation = record.revocation().unwrap();
        assert_eq!(revocation.reason, RevocationReason::Superseded);
    }
    assert_eq!(verdict(&ring, &third).await, Ok("read".to_owned()));
    assert_eq!(third.record().generation(), 2);
    assert_eq!(third.record().lineage(), first.record().id());
}

#[tokio::test]
async fn a_key_can_be_rotated_again_once_the_grace_is_over() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let first = issue(&ring, "read").await;
    let second = ring.rotate(first.record().id(), MINUTE).await.unwrap();
    house.clock.advance(MINUTE);
    let third = ring.rotate(second.record().id(), MINUTE).await.unwrap();
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Replaced));
    for live in [&second, &third] {
        assert_eq!(verdict(&ring, live).await, Ok("read".to_owned()));
    }
    // A grace period that is over stays over, whatever the clock says later.
    house.clock.set(START);
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Revoked));
}

#[tokio::test]
async fn a_key_whose_grace_ends_before_it_begins_is_over_then() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let start = START.checked_add(HOUR).unwrap();
    let early = Grant::new("alice").not_before(start);
    let first = ring.issue(early).await.unwrap();
    let second = ring.rotate(first.record().id(), MINUTE).await.unwrap();
    assert_eq!(second.record().not_before(), start);
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::NotYetValid));
    house.clock.advance(MINUTE);
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Replaced));
    let third = ring.rotate(second.record().id(), MINUTE).await.unwrap();
    house.clock.advance(HOUR);
    assert_eq!(verdict(&ring, &third).await, Ok(String::new()));
}

#[tokio::test]
async fn r01_invariant_3_a_regrant_is_one_commit_and_the_old_key_never_has_the_privilege() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let first = issue(&ring, "read").await;
    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    house.changes();
    let grant = Grant::new("alice").scopes(["read", "write"]);
    let third = ring.regrant(second.record().id(), grant).await.unwrap();

    let changes = house.changes();
    assert_eq!(changes.len(), 1, "one commit");
    for write in changes[0].writes() {
        let record = &write.record;
        if record.id() == third.record().id() {
            assert_eq!(record, third.record());
        } else {
            assert_eq!(record.scopes().as_str(), "read");
            let reason = record.revocation().map(|revocation| revocation.reason);
            assert_eq!(reason, Some(RevocationReason::Superseded));
        }
    }
    assert_eq!(changes[0].writes().len(), 3);
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Revoked));
    assert_eq!(verdict(&ring, &second).await, Err(InvalidCause::Replaced));
    assert_eq!(verdict(&ring, &third).await, Ok("read write".to_owned()));
    assert_eq!(third.record().lineage(), first.record().id());
    assert_eq!(third.record().generation(), 2);
    // Only the place in the lineage is kept from the old key.
    assert_eq!(third.record().expires_at(), START.checked_add(90 * DAY));
    assert_eq!(third.record().label(), None);
}

#[tokio::test]
async fn r32_invariant_4_narrowing_shrinks_in_place_and_ends_the_key_in_grace() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let first = issue(&ring, "list read write").await;
    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    house.changes();

    let kept = "list read".parse().unwrap();
    let record = ring.narrow(second.record().id(), &kept).await.unwrap();
    assert_eq!(house.changes().len(), 1, "one commit");
    let mut expected = second.record().to_parts();
    expected.scopes = kept.clone();
    expected.version = 2;
    assert_eq!(record.to_parts(), expected);
    assert_eq!(verdict(&ring, &second).await, Ok("list read".to_owned()));
    assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Revoked));
    let old = ring.get(first.record().id()).await.unwrap().unwrap();
    let revocation = old.revocation().unwrap();
    assert_eq!(revocation.reason, RevocationReason::PrivilegeWithdrawn);

    // The second time, there is nothing to remove: no commit, no version.
    let again = ring.narrow(second.record().id(), &kept).await.unwrap();
    assert_eq!(again, record);
    assert_eq!(house.changes().len(), 0);
}

/// Even if a key keeps all of its scopes, it may have ended between the read and the commit that
/// would end its predecessor.
#[tokio::test]
async fn r32_narrowing_to_the_same_scopes_loses_to_a_revocation() {
    let house = House::new();
    let rival = house.ring("orders", |builder| builder);
    let first = issue(&rival, "read").await.record().id();
    let second = rival.rotate(first, MINUTE).await.unwrap().record().id();
    house.clock.advance(MINUTE);
    let once = Mutex::new(Some(rival));
    let store = Tapped::new(&house.store).before_commit(move |_| {
        if let Some(rival) = once.lock().unwrap().take() {
            let reason = RevocationReason::KeyCompromise;
            let revoked = poll_once(&mut Box::pin(rival.revoke(second, reason)));
            assert!(matches!(revoked, Poll::Ready(Ok(()))));
        }
        Ok(())
    });
    let ring = house.over(store, "orders", |builder| builder);
    let narrowed = ring.narrow(second, &"read".parse().unwrap()).await;
    assert_eq!(narrowed.unwrap_err().kind(), ErrorKind::KeyRevoked);
    let first = ring.get(first).await.unwrap().unwrap();
    assert_eq!(first.revocation(), None, "nothing has changed");
}

/// A lifetime of the same length, from now, would end beyond the end of time.
#[tokio::test]
async fn r24_a_key_that_ends_with_time_itself_can_be_rotated() {
    let house = House::new();
    let unlimited = house.ring("orders", KeyRingBuilder::unlimited_lifetime);
    let limited = house.ring("orders", |builder| builder);
    let endless = || Grant::new("alice").expires_at(Timestamp::LAST_YEAR);
    for (ring, at_once, end) in [
        (&unlimited, false, Some(Timestamp::LAST_YEAR)),
        (&unlimited, true, Some(Timestamp::LAST_YEAR)),
        (&limited, false, START.checked_add(90 * DAY)),
        (&limited, true, START.checked_add(90 * DAY)),
    ] {
        house.clock.set(Timestamp::from_unix(START.as_unix() - 1));
        let id = unlimited.issue(endless()).await.unwrap().record().id();
        house.clock.set(START);
        let rotated = if at_once {
            ring.rotate_now(id).await
        } else {
            ring.rotate(id, MINUTE).await
        };
        assert_eq!(rotated.unwrap().record().expires_at(), end);
    }
}
