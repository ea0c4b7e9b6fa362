//! Lineages and subjects that end, and records that are no longer kept.

use std::task::Poll;
use std::time::Duration;

use tower_api_key::store::ListQuery;
use tower_api_key::{Grant, InvalidCause, KeyRingBuilder, RevocationReason, Timestamp};

use super::{DAY, HOUR, House, MINUTE, verdict};
use crate::ring::stores::Tapped;
use crate::support::{START, issue, poll_once};

const REASON: RevocationReason = RevocationReason::KeyCompromise;

#[tokio::test]
async fn invariant_6_any_member_names_the_lineage_that_ends() {
    for member in 0..3 {
        let house = House::new();
        let ring = house.ring("orders", |builder| builder);
        let bystander = issue(&ring, "read").await;
        let first = issue(&ring, "read").await;
        let second = ring.rotate_now(first.record().id()).await.unwrap();
        let third = ring.rotate(second.record().id(), HOUR).await.unwrap();
        let id = [&first, &second, &third][member].record().id();
        assert_eq!(ring.revoke_lineage(id, REASON).await.unwrap(), 2);
        assert_eq!(verdict(&ring, &first).await, Err(InvalidCause::Replaced));
        // The second was in its grace period, so its user has done nothing wrong.
        for dead in [&second, &third] {
            assert_eq!(verdict(&ring, dead).await, Err(InvalidCause::Revoked));
        }
        assert_eq!(verdict(&ring, &bystander).await, Ok("read".to_owned()));
        // Keys that were dead before keep their reason.
        let record = ring.get(first.record().id()).await.unwrap().unwrap();
        let reason = record.revocation().unwrap().reason;
        assert_eq!(reason, RevocationReason::Superseded);
        assert_eq!(ring.revoke_lineage(id, REASON).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_lineage_ends_by_the_id_of_its_first_key_when_that_is_long_gone() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder.retention(HOUR));
    let first = issue(&ring, "read").await;
    let second = ring.rotate_now(first.record().id()).await.unwrap();
    house.clock.advance(HOUR);
    assert_eq!(ring.purge().await.unwrap(), 1);
    assert_eq!(ring.get(first.record().id()).await.unwrap(), None);
    let count = ring.revoke_lineage(first.record().id(), REASON).await;
    assert_eq!(count.unwrap(), 1);
    assert_eq!(verdict(&ring, &second).await, Err(InvalidCause::Revoked));
}

#[tokio::test]
async fn r31_a_lineage_ends_in_its_own_realm_alone() {
    let house = House::new();
    let orders = house.ring("orders", |builder| builder);
    let billing = house.ring("billing", |builder| builder);
    let temporary = issue(&orders, "read").await;
    let id = temporary.record().id();
    let real = billing.promote(&orders, id, Grant::new("alice")).await;
    let real = real.unwrap();
    assert_eq!(orders.revoke_lineage(id, REASON).await.unwrap(), 0);
    assert_eq!(verdict(&billing, &real).await, Ok(String::new()));
    assert_eq!(billing.revoke_lineage(id, REASON).await.unwrap(), 1);
    assert_eq!(verdict(&billing, &real).await, Err(InvalidCause::Revoked));
}

#[tokio::test]
async fn r32_a_subject_that_is_revoked_has_no_key_left_in_this_realm() {
    let house = House::new();
    let orders = house.ring("orders", |builder| builder);
    let billing = house.ring("billing", |builder| builder);
    let keys = [
        issue(&orders, "read").await,
        issue(&orders, "read write").await,
    ];
    let rotated = orders.rotate(keys[0].record().id(), HOUR).await.unwrap();
    let elsewhere = issue(&billing, "read").await;
    let bobs = orders.issue(Grant::new("bob")).await.unwrap();

    assert_eq!(orders.revoke_subject("alice", REASON).await.unwrap(), 3);
    for key in [&keys[0], &keys[1], &rotated] {
        assert_eq!(verdict(&orders, key).await, Err(InvalidCause::Revoked));
    }
    assert_eq!(verdict(&orders, &bobs).await, Ok(String::new()));
    assert_eq!(verdict(&billing, &elsewhere).await, Ok("read".to_owned()));
    assert_eq!(orders.revoke_subject("alice", REASON).await.unwrap(), 0);
    assert_eq!(orders.revoke_subject("nobody", REASON).await.unwrap(), 0);
    // Demoted, not banned: a key that is issued from now on is another key.
    let again = issue(&orders, "read").await;
    assert_eq!(verdict(&orders, &again).await, Ok("read".to_owned()));
}

#[tokio::test]
async fn dead_records_are_kept_for_the_retention_and_no_longer() {
    let second = Duration::from_secs(1);
    let default: fn(KeyRingBuilder) -> KeyRingBuilder = |builder| builder;
    let hour: fn(KeyRingBuilder) -> KeyRingBuilder = |builder| builder.retention(HOUR);
    for (options, retention) in [(default, 30 * DAY), (hour, HOUR)] {
        let house = House::new();
        let ring = house.ring("orders", options);
        let billing = house.ring("billing", |builder| builder.retention(Duration::ZERO));
        let brief = || Grant::new("alice").expires_in(MINUTE);
        let expired = ring.issue(brief()).await.unwrap();
        let replaced = issue(&ring, "read").await;
        let live = ring.rotate(replaced.record().id(), MINUTE).await.unwrap();
        let foreign = billing.issue(brief()).await.unwrap();
        house.clock.advance(MINUTE);
        let revoked = issue(&ring, "read").await;
        ring.revoke(revoked.record().id(), REASON).await.unwrap();

        house.clock.advance(retention.saturating_sub(second));
        assert_eq!(ring.purge().await.unwrap(), 0);
        assert_eq!(verdict(&ring, &expired).await, Err(InvalidCause::Expired));
        assert_eq!(verdict(&ring, &replaced).await, Err(InvalidCause::Replaced));
        assert_eq!(verdict(&ring, &revoked).await, Err(InvalidCause::Revoked));
        house.clock.advance(second);
        assert_eq!(ring.purge().await.unwrap(), 3);
        for gone in [&expired, &replaced, &revoked] {
            assert_eq!(verdict(&ring, gone).await, Err(InvalidCause::Unknown));
            assert_eq!(ring.get(gone.record().id()).await.unwrap(), None);
        }
        assert_eq!(verdict(&ring, &live).await, Ok("read".to_owned()));
        let kept = billing.get(foreign.record().id()).await.unwrap();
        assert_eq!(kept.as_ref(), Some(foreign.record()));
        assert_eq!(billing.purge().await.unwrap(), 1);
        assert_eq!(ring.purge().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn r24_a_retention_beyond_the_age_of_time_purges_nothing() {
    let house = House::new();
    let ring = house.ring("orders", |builder| {
        builder.retention(Duration::from_hours(100 * 8766))
    });
    let issued = issue(&ring, "read").await;
    ring.revoke(issued.record().id(), REASON).await.unwrap();
    house.clock.set(START.checked_add(1000 * DAY).unwrap());
    assert_eq!(ring.purge().await.unwrap(), 0);
}

/// A clock that reads a time before 1970 counts as the end of time, when every key has ended.
#[tokio::test]
async fn r24_a_clock_that_fails_purges_nothing() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder.retention(Duration::ZERO));
    let issued = issue(&ring, "read").await;
    house.clock.set(Timestamp::MAX);
    assert_eq!(ring.purge().await.unwrap(), 0);
    house.clock.set(START);
    assert_eq!(verdict(&ring, &issued).await, Ok("read".to_owned()));
}

/// If others issue keys to a subject as fast as it is revoked, no key that existed before survives.
#[tokio::test]
async fn r32_a_subject_that_others_issue_to_loses_every_key_that_was_there() {
    let house = House::new();
    let plain = house.ring("orders", |builder| builder);
    let before = issue(&plain, "read").await;
    let issuer = plain.clone();
    let store = Tapped::new(&house.store).before_revoke(move |_| {
        let another = poll_once(&mut Box::pin(issuer.issue(Grant::new("alice"))));
        assert!(matches!(another, Poll::Ready(Ok(_))));
        Ok(())
    });
    let ring = house.over(store, "orders", |builder| builder);
    assert_eq!(ring.revoke_subject("alice", REASON).await.unwrap(), 2);
    assert_eq!(verdict(&ring, &before).await, Err(InvalidCause::Revoked));
    let alive = ListQuery::new().subject("alice").unrevoked();
    assert_eq!(plain.list(&alive).await.unwrap().records(), []);
}
