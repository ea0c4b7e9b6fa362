//! Keys from before a ring's policy became stricter: which rights it renews, and which it leaves.

use std::time::Duration;

use tower_api_key::{ErrorKind, Grant, KeyRingBuilder, Timestamp};

use super::refusals::LIFETIME;
use super::{HOUR, House, MINUTE, verdict};
use crate::support::{START, issue};

#[tokio::test]
async fn r03_r33_a_key_that_begins_after_all_that_the_ring_grants_is_not_renewed() {
    let house = House::new();
    let generous = house.ring("orders", KeyRingBuilder::unlimited_lifetime);
    let plain = house.recorded("orders", |builder| builder);
    let strict = house.recorded("orders", |builder| builder.max_lifetime(HOUR));
    let second = Duration::from_secs(1);
    let from = |start| Grant::new("alice").not_before(start);
    let after = |duration| START.checked_add(duration).unwrap();
    let at_last = Timestamp::LAST_YEAR;
    for (ring, grant) in [
        // It would end at its beginning.
        (&strict, from(after(HOUR))),
        (&strict, from(after(2 * HOUR))),
        (&strict, from(after(HOUR)).expires_in(second)),
        (&strict, from(after(HOUR)).never_expires()),
        (&strict, from(at_last).never_expires()),
        (&plain, from(at_last).never_expires()),
    ] {
        let id = generous.issue(grant).await.unwrap().record().id();
        let kind = ErrorKind::InvalidLifetime;
        house
            .assert_refused(ring.rotate(id, MINUTE), kind, LIFETIME)
            .await;
        house
            .assert_refused(ring.rotate_now(id), kind, LIFETIME)
            .await;
    }
    assert_eq!(house.changes().len(), 0, "no commit was tried");

    let start = after(HOUR.saturating_sub(second));
    let issued = generous.issue(from(start)).await.unwrap();
    let new = strict.rotate(issued.record().id(), MINUTE).await.unwrap();
    let new = new.record();
    assert_eq!(
        (new.not_before(), new.expires_at()),
        (start, Some(after(HOUR)))
    );
}

/// Narrowing only removes scopes. The remaining ones were granted by an earlier policy, and no new
/// secret inherits them.
#[tokio::test]
async fn r01_r04_narrowing_may_leave_a_scope_that_the_ring_no_longer_grants() {
    let house = House::new();
    let generous = house.ring("orders", |builder| builder);
    let strict = house.recorded("orders", |builder| {
        builder.grantable_scopes(["read", "write"])
    });
    let none: [&str; 0] = [];
    let nothing = house.recorded("orders", |builder| builder.grantable_scopes(none));
    let issued = issue(&generous, "admin read write").await;
    let id = issued.record().id();
    for (ring, left, text) in [
        (
            &strict,
            "admin read",
            "scope not grantable: this ring grants only read write",
        ),
        (
            &nothing,
            "admin",
            "scope not grantable: this ring grants none",
        ),
    ] {
        let narrowed = ring.narrow(id, &left.parse().unwrap()).await.unwrap();
        assert_eq!(narrowed.scopes().as_str(), left);
        assert_eq!(verdict(ring, &issued).await, Ok(left.to_owned()));
        assert_eq!(house.changes().len(), 1);
        let kind = ErrorKind::ScopeNotGrantable;
        house
            .assert_refused(ring.rotate(id, MINUTE), kind, text)
            .await;
        house.assert_refused(ring.rotate_now(id), kind, text).await;
        assert_eq!(house.changes().len(), 0, "no commit was tried");
    }
}
