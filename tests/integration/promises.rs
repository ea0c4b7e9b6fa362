//! The promises of SECURITY.md about the lifecycle, each tested separately. The model tests them in
//! every order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tower::Layer;
use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{
    ApiKeyLayer, Error, ErrorKind, EventKind, Grant, InvalidCause, Issued, KeyRing, ManualClock,
    RevocationReason, VerifyErrorKind, observer_fn,
};

use crate::support::{Inner, START, issue, ring, ring_and_clock, send, with_key};

const HOUR: Duration = Duration::from_hours(1);
const YEAR: Duration = Duration::from_hours(8760);

/// The scopes of an accepted key, or the reason why it is refused.
async fn verdict(ring: &KeyRing, key: &Issued) -> Result<String, VerifyErrorKind> {
    ring.verify(key.secret().expose().as_bytes())
        .await
        .map(|key| key.scopes().as_str().to_owned())
        .map_err(|error| error.kind())
}

const LEAKED: RevocationReason = RevocationReason::KeyCompromise;
const REPLACED: VerifyErrorKind = VerifyErrorKind::Invalid(InvalidCause::Replaced);
const REVOKED: VerifyErrorKind = VerifyErrorKind::Invalid(InvalidCause::Revoked);

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Error>, kind: ErrorKind, message: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind);
    assert_eq!(error.to_string(), message);
}

#[tokio::test]
async fn r01_a_key_from_before_a_regrant_is_dead_and_never_carried_the_gain() {
    let ring = ring();
    let before = issue(&ring, "read").await;
    assert_eq!(verdict(&ring, &before).await.as_deref(), Ok("read"));
    let grant = Grant::new("alice").scopes(["read", "write"]);
    let after = ring.regrant(before.record().id(), grant).await.unwrap();
    assert_eq!(verdict(&ring, &before).await, Err(REPLACED));
    assert_eq!(verdict(&ring, &after).await.as_deref(), Ok("read write"));
    let kept = ring.get(before.record().id()).await.unwrap().unwrap();
    assert_eq!(kept.scopes().as_str(), "read");
}

#[tokio::test]
async fn r03_a_rotation_copies_the_record_and_its_grace_is_never_armed_again() {
    let (ring, clock) = ring_and_clock();
    let old = issue(&ring, "read").await;
    let id = old.record().id();
    let new = ring.rotate(id, HOUR).await.unwrap();
    assert_eq!(new.record().subject(), "alice");
    assert_eq!(verdict(&ring, &old).await.as_deref(), Ok("read"));
    assert_eq!(verdict(&ring, &new).await.as_deref(), Ok("read"));

    clock.advance(HOUR / 2);
    let again = "rotation in progress: a key of the lineage is in its grace period; use the newest \
                 key, and wait for the end of the grace period or use rotate_now";
    for id in [id, new.record().id()] {
        let outcome = ring.rotate(id, HOUR).await;
        assert_refused(outcome, ErrorKind::InGrace, again);
    }
    let kept = ring.get(id).await.unwrap().unwrap();
    assert_eq!(kept.grace_ends_at(), START.checked_add(HOUR));

    clock.advance(HOUR / 2);
    assert_eq!(verdict(&ring, &old).await, Err(REPLACED));
    assert_eq!(verdict(&ring, &new).await.as_deref(), Ok("read"));
}

#[tokio::test]
async fn r03_a_grace_ends_no_later_than_the_policy_and_the_expiry_say() {
    let (ring, _) = ring_and_clock();
    let grant = Grant::new("alice").expires_in(HOUR);
    let id = ring.issue(grant).await.unwrap().record().id();
    let longest = 24 * HOUR;
    let kind = ErrorKind::GraceTooLong { longest };
    let message = "grace period too long: this ring grants at most 24h";
    let outcome = ring.rotate(id, longest + Duration::from_secs(1)).await;
    assert_refused(outcome, kind, message);
    assert_eq!(ring.get(id).await.unwrap().unwrap().version(), 1);

    ring.rotate(id, longest).await.unwrap();
    let kept = ring.get(id).await.unwrap().unwrap();
    assert_eq!(kept.grace_ends_at(), START.checked_add(HOUR));
}

#[tokio::test]
async fn r03_every_change_of_privilege_ends_a_grace() {
    let reader = "read".parse().unwrap();
    for change in [
        "regrant",
        "narrow",
        "revoke_lineage",
        "revoke_subject",
        "rotate_now",
    ] {
        let ring = ring();
        let old = issue(&ring, "read write").await;
        let new = ring.rotate(old.record().id(), HOUR).await.unwrap();
        let id = new.record().id();
        match change {
            "regrant" => drop(ring.regrant(id, Grant::new("alice")).await.unwrap()),
            "narrow" => drop(ring.narrow(id, &reader).await.unwrap()),
            "rotate_now" => drop(ring.rotate_now(id).await.unwrap()),
            "revoke_subject" => assert_eq!(ring.revoke_subject("alice", LEAKED).await.unwrap(), 2),
            _ => assert_eq!(ring.revoke_lineage(id, LEAKED).await.unwrap(), 2),
        }
        // Its holder was promised the grace period, and is not a thief within it.
        assert_eq!(verdict(&ring, &old).await, Err(REVOKED), "{change}");
    }
}

/// One secret is revoked, not the other. `revoke_lineage` revokes both.
#[tokio::test]
async fn the_revocation_of_a_key_leaves_its_predecessor_the_rest_of_its_grace() {
    let (ring, clock) = ring_and_clock();
    let old = issue(&ring, "read").await;
    let new = ring.rotate(old.record().id(), HOUR).await.unwrap();
    ring.revoke(new.record().id(), LEAKED).await.unwrap();
    assert_eq!(verdict(&ring, &new).await, Err(REVOKED));
    assert_eq!(verdict(&ring, &old).await.as_deref(), Ok("read"));
    clock.advance(HOUR);
    assert_eq!(verdict(&ring, &old).await, Err(REPLACED));
}

#[tokio::test]
async fn r04_a_ring_for_sign_ups_mints_nothing_beyond_its_policy() {
    let store = MemoryStore::new();
    let visitors = KeyRing::builder("visit")
        .clock(ManualClock::new(START))
        .grantable_scopes(["cart"])
        .max_lifetime(HOUR)
        .build(store.clone())
        .unwrap();
    let real = KeyRing::builder("acme")
        .clock(ManualClock::new(START))
        .build(store)
        .unwrap();
    let cart = || Grant::new("visitor").scopes(["cart"]);

    let admin = cart().scopes(["cart", "admin"]);
    let message = "scope not grantable: this ring grants only cart";
    let kind = ErrorKind::ScopeNotGrantable;
    assert_refused(visitors.issue(admin.clone()).await, kind, message);
    let message = "lifetime too long: this ring grants at most 1h";
    let kind = ErrorKind::LifetimeTooLong { longest: HOUR };
    assert_refused(visitors.issue(cart().expires_in(YEAR)).await, kind, message);
    assert_refused(visitors.issue(cart().never_expires()).await, kind, message);
    assert_eq!(
        visitors.list(&ListQuery::new()).await.unwrap().records(),
        []
    );

    let temporary = visitors.issue(cart()).await.unwrap();
    assert_eq!(temporary.record().expires_at(), START.checked_add(HOUR));
    let id = temporary.record().id();
    let message = "scope not grantable: this ring grants only cart";
    let regranted = visitors.regrant(id, admin).await;
    assert_refused(regranted, ErrorKind::ScopeNotGrantable, message);
    assert_eq!(verdict(&visitors, &temporary).await.as_deref(), Ok("cart"));
    let unknown = VerifyErrorKind::Invalid(InvalidCause::Malformed);
    assert_eq!(verdict(&real, &temporary).await, Err(unknown));
}

#[tokio::test]
async fn r32_the_next_request_after_a_demotion_sees_it() {
    let ring = ring();
    let issued = issue(&ring, "read admin").await;
    let other = issue(&ring, "admin").await;
    let bob = ring.issue(Grant::new("bob").scopes(["admin"]));
    let bob = bob.await.unwrap();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring.clone())
        .require("admin")
        .layer(inner.clone());
    let status = async |key: &Issued| {
        let request = with_key(key.secret().expose());
        send(&service, request).await.status
    };
    assert_eq!(status(&issued).await, StatusCode::OK);

    let id = issued.record().id();
    ring.narrow(id, &"read".parse().unwrap()).await.unwrap();
    assert_eq!(status(&issued).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&other).await, StatusCode::OK);

    let reason = RevocationReason::PrivilegeWithdrawn;
    assert_eq!(ring.revoke_subject("alice", reason).await.unwrap(), 2);
    assert_eq!(status(&issued).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&other).await, StatusCode::UNAUTHORIZED);
    assert_eq!(verdict(&ring, &other).await, Err(REVOKED));
    assert_eq!(status(&bob).await, StatusCode::OK);
    assert_eq!(inner.calls(), 3);
}

#[tokio::test]
async fn reuse_is_reported_and_ends_the_lineage_only_where_the_ring_says_so() {
    for revokes in [false, true] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        let builder = KeyRing::builder("acme")
            .clock(ManualClock::new(START))
            .observer(observer_fn(move |event| {
                let subject = event.subject().map(str::to_owned);
                let note = (event.kind(), event.key_id(), subject);
                notes.lock().unwrap().push(note);
            }));
        let builder = if revokes {
            builder.revoke_lineage_on_reuse()
        } else {
            builder
        };
        let ring = builder.build(MemoryStore::new()).unwrap();
        let old = issue(&ring, "read").await;
        let new = ring.rotate_now(old.record().id()).await.unwrap();
        told.lock().unwrap().clear();

        assert_eq!(verdict(&ring, &old).await, Err(REPLACED));
        let alice = || Some("alice".to_owned());
        let mut expected = vec![(EventKind::Reuse, Some(old.record().id()), alice())];
        if revokes {
            let reason = RevocationReason::KeyCompromise;
            let kind = EventKind::Revoked { reason };
            expected.push((kind, Some(new.record().id()), alice()));
            assert_eq!(verdict(&ring, &new).await, Err(REVOKED));
        } else {
            assert_eq!(verdict(&ring, &new).await.as_deref(), Ok("read"));
        }
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
