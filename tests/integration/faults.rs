//! A store that fails, hangs or panics (rule 20), and time that misbehaves (rule 24).

use std::time::Duration;

use http::{Request, StatusCode};
use tower::Layer;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, ErrorKind, Grant, InvalidCause, KeyRing, ManualClock, Pepper, RejectionKind,
    RingBuilder, Timestamp, VerifyErrorKind,
};

use crate::stores::{Outcome, scripted_ring, scripted_ring_with};
use crate::support::{
    Inner, START, Whole, issue, key, poll_once, ring, ring_and_clock, send, with_key,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[track_caller]
fn assert_unavailable(response: &Whole, inner: &Inner, what: &str) {
    assert_eq!(
        response.kind(),
        Some(RejectionKind::StoreUnavailable),
        "{what}"
    );
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    assert_eq!(response.values("retry-after"), ["1"], "{what}");
    assert_eq!(inner.calls(), 0, "{what}");
}

#[tokio::test]
async fn r20_an_error_or_a_panic_at_once_is_an_outage_and_then_over() {
    for outcome in [Outcome::Error, Outcome::Panic] {
        for optional in [false, true] {
            let (ring, _, store) = scripted_ring();
            let issued = issue(&ring, "read").await;
            let layer = ApiKeyLayer::new(ring.clone());
            let layer = if optional { layer.optional() } else { layer };
            let inner = Inner::new();
            let service = layer.layer(inner.clone());
            let key = issued.secret().expose();

            store.answer(outcome);
            for _ in 0..3 {
                let response = send(&service, with_key(key)).await;
                assert_unavailable(&response, &inner, &format!("{outcome:?}"));
                let rejection = response.rejection.unwrap();
                assert_eq!(rejection.key_id(), Some(issued.record().id()));
                assert_eq!(rejection.cause(), None);
            }
            let error = ring.verify(key.as_bytes()).await.unwrap_err();
            assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);

            store.answer(Outcome::Honest);
            let response = send(&service, with_key(key)).await;
            assert_eq!(response.status, StatusCode::OK, "{outcome:?}");
            assert_eq!(inner.calls(), 1, "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn r20_an_error_or_a_panic_after_a_wait_is_an_outage_and_then_over() {
    let (ring, _, store) = scripted_ring();
    let issued = issue(&ring, "read").await;
    let key = issued.secret().expose();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).optional().layer(inner.clone());
    store.hold();

    for (index, outcome) in [Outcome::Error, Outcome::Panic, Outcome::Panic]
        .into_iter()
        .enumerate()
    {
        let mut response = Box::pin(send(&service, with_key(key)));
        assert!(poll_once(&mut response).is_pending());
        assert!(store.release(index, outcome));
        let response = response.await;
        assert_unavailable(&response, &inner, &format!("{outcome:?}"));
        let rejection = response.rejection.unwrap();
        assert_eq!(rejection.key_id(), Some(issued.record().id()));
    }

    let mut response = Box::pin(send(&service, with_key(key)));
    assert!(poll_once(&mut response).is_pending());
    assert!(store.release(3, Outcome::Honest));
    assert_eq!(response.await.status, StatusCode::OK);
    store.answer(Outcome::Honest);
    assert_eq!(send(&service, with_key(key)).await.status, StatusCode::OK);
    assert_eq!(inner.calls(), 2);
}

#[tokio::test]
async fn r20_the_wait_for_a_store_that_never_answers_is_bounded() {
    let none: fn(RingBuilder) -> RingBuilder = |builder| builder;
    let quarter: fn(RingBuilder) -> RingBuilder =
        |builder| builder.lookup_timeout(Duration::from_millis(250));
    for (options, bound) in [(none, 2 * SECOND), (quarter, 250 * MILLISECOND)] {
        let (ring, clock, store) = scripted_ring_with(options);
        let key = key(&ring, "read").await;
        store.hold();
        let inner = Inner::new();
        let service = ApiKeyLayer::new(ring).layer(inner.clone());

        let mut response = Box::pin(send(&service, with_key(&key)));
        assert!(poll_once(&mut response).is_pending());
        clock.advance(bound.checked_sub(MILLISECOND).unwrap());
        assert!(poll_once(&mut response).is_pending(), "{bound:?}");
        clock.advance(MILLISECOND);
        assert_unavailable(&response.await, &inner, &format!("{bound:?}"));
        assert!(!store.release(0, Outcome::Honest), "the look-up is dropped");

        // The next request has a bound of its own.
        let mut response = Box::pin(send(&service, with_key(&key)));
        assert!(poll_once(&mut response).is_pending());
        assert!(store.release(1, Outcome::Honest));
        assert_eq!(response.await.status, StatusCode::OK, "{bound:?}");
    }
}

#[tokio::test]
async fn r20_the_end_of_the_wait_and_the_answer_wake_the_request() {
    let (ring, clock, store) = scripted_ring();
    let key = key(&ring, "read").await;
    store.hold();
    let service = ApiKeyLayer::new(ring).layer(Inner::new());
    let statuses = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
    for (index, status) in statuses.into_iter().enumerate() {
        let (service, key) = (service.clone(), key.clone());
        let request = tokio::spawn(async move { send(&service, with_key(&key)).await });
        while store.held() == index || clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        if status == StatusCode::OK {
            assert!(store.release(index, Outcome::Honest));
        } else {
            clock.advance(2 * SECOND);
        }
        assert_eq!(request.await.unwrap().status, status);
        // The sleeper of the answered request is still listed; let it go.
        clock.advance(SECOND);
    }
}

#[tokio::test]
async fn r20_an_answer_that_comes_with_the_end_of_the_wait_still_counts() {
    let (ring, clock, store) = scripted_ring();
    let key = key(&ring, "read").await;
    store.hold();
    let service = ApiKeyLayer::new(ring).layer(Inner::new());

    let mut response = Box::pin(send(&service, with_key(&key)));
    assert!(poll_once(&mut response).is_pending());
    assert!(store.release(0, Outcome::Honest));
    clock.advance(2 * SECOND);

    assert_eq!(response.await.status, StatusCode::OK);
}

#[tokio::test]
async fn r20_one_bound_covers_the_look_ups_under_earlier_peppers() {
    let pepper = |version, byte| Pepper::new(version, vec![byte; 32]).unwrap();
    let (ring, clock, store) =
        scripted_ring_with(|builder| builder.pepper(pepper(2, 2)).earlier_pepper(pepper(1, 1)));
    let unknown = key(&self::ring(), "read").await;
    store.hold();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).layer(inner.clone());

    let mut response = Box::pin(send(&service, with_key(&unknown)));
    assert!(poll_once(&mut response).is_pending());
    clock.advance(SECOND);
    assert!(store.release(0, Outcome::Honest));
    assert!(poll_once(&mut response).is_pending());
    assert_eq!(store.held(), 2, "the earlier pepper is tried");
    clock.advance(SECOND);

    assert_unavailable(&response.await, &inner, "the second look-up");
}

#[tokio::test]
async fn r20_an_outage_under_one_pepper_is_not_an_unknown_key() {
    let pepper = |version, byte| Pepper::new(version, vec![byte; 32]).unwrap();
    let (ring, _, store) =
        scripted_ring_with(|builder| builder.pepper(pepper(2, 2)).earlier_pepper(pepper(1, 1)));
    let unknown = key(&self::ring(), "read").await;
    store.hold();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).layer(inner.clone());

    for (first, (earlier, what)) in [(Outcome::Error, "error"), (Outcome::Panic, "panic")]
        .into_iter()
        .enumerate()
    {
        let mut response = Box::pin(send(&service, with_key(&unknown)));
        assert!(poll_once(&mut response).is_pending());
        assert!(store.release(2 * first, Outcome::Honest));
        assert!(poll_once(&mut response).is_pending());
        assert!(store.release(2 * first + 1, earlier));
        assert_unavailable(&response.await, &inner, what);
    }
}

#[tokio::test]
async fn r20_a_request_without_a_key_does_not_depend_on_the_store() {
    let (ring, _, store) = scripted_ring();
    let service = ApiKeyLayer::new(ring).layer(Inner::new());
    store.answer(Outcome::Panic);

    let missing = send(&service, Request::new(())).await;
    assert_eq!(missing.kind(), Some(RejectionKind::Missing));
    let malformed = send(&service, with_key("nonsense")).await;
    assert_eq!(malformed.kind(), Some(RejectionKind::Invalid));
    assert_eq!(store.finds(), 0);
}

async fn issued(ring: &KeyRing, grant: Grant) -> Vec<u8> {
    let issued = ring.issue(grant).await.unwrap();
    issued.secret().expose().as_bytes().to_vec()
}

async fn cause(ring: &KeyRing, presented: &[u8]) -> Option<InvalidCause> {
    match ring.verify(presented).await.map_err(|error| error.kind()) {
        Ok(_) => None,
        Err(VerifyErrorKind::Invalid(cause)) => Some(cause),
        Err(other) => panic!("{other:?} is no verdict"),
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(START.as_unix() + seconds)
}

#[tokio::test]
async fn r24_a_key_ends_at_its_expiry_and_not_a_second_earlier() {
    let expiries = [
        Grant::new("alice").expires_in(Duration::from_secs(100)),
        Grant::new("alice").expires_at(at(100)),
        // A started second counts as none.
        Grant::new("alice").expires_in(Duration::from_millis(100_999)),
    ];
    for grant in expiries {
        let (ring, clock) = ring_and_clock();
        let key = issued(&ring, grant.clone()).await;
        clock.set(at(99));
        assert_eq!(cause(&ring, &key).await, None, "{grant:?}");
        clock.set(at(100));
        assert_eq!(
            cause(&ring, &key).await,
            Some(InvalidCause::Expired),
            "{grant:?}"
        );
    }
}

#[tokio::test]
async fn r24_a_key_begins_at_its_not_before_and_not_a_second_earlier() {
    let (ring, clock) = ring_and_clock();
    let grant = Grant::new("alice").not_before(at(100)).expires_at(at(101));
    let key = issued(&ring, grant).await;
    for (seconds, expected) in [
        (0, Some(InvalidCause::NotYetValid)),
        (99, Some(InvalidCause::NotYetValid)),
        (100, None),
        (101, Some(InvalidCause::Expired)),
    ] {
        clock.set(at(seconds));
        assert_eq!(cause(&ring, &key).await, expected, "at {seconds}");
    }
}

#[tokio::test]
async fn r24_a_retired_key_ends_at_the_end_of_its_grace_and_stays_ended() {
    let (ring, clock, store) = scripted_ring();
    let issued = issue(&ring, "read").await;
    store.edit(issued.record().id(), |parts| parts.retire_at = Some(at(10)));
    let key = issued.secret().expose().as_bytes();
    for (seconds, expected) in [
        (9, None),
        (10, Some(InvalidCause::Retired)),
        (9, Some(InvalidCause::Retired)),
        (0, Some(InvalidCause::Retired)),
    ] {
        clock.set(at(seconds));
        assert_eq!(cause(&ring, key).await, expected, "at {seconds}");
    }
}

#[tokio::test]
async fn r24_a_key_that_was_denied_as_expired_stays_denied_when_the_clock_is_set_back() {
    let (ring, clock) = ring_and_clock();
    let short = issued(&ring, Grant::new("alice").expires_at(at(100))).await;
    let long = issued(&ring, Grant::new("alice").expires_at(at(1_000))).await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring.clone()).layer(inner.clone());
    let short_text = String::from_utf8(short.clone()).unwrap();

    clock.set(at(100));
    let denied = send(&service, with_key(&short_text)).await;
    assert_eq!(denied.kind(), Some(RejectionKind::Invalid));
    for seconds in [99, 50, 0] {
        clock.set(at(seconds));
        let expired = Some(InvalidCause::Expired);
        assert_eq!(cause(&ring, &short).await, expired, "at {seconds}");
        let denied = send(&service, with_key(&short_text)).await;
        assert_eq!(denied.kind(), Some(RejectionKind::Invalid), "at {seconds}");
        assert_eq!(cause(&ring, &long).await, None, "at {seconds}");
    }
    // A clone of the ring is the same node.
    assert_eq!(
        cause(&ring.clone(), &short).await,
        Some(InvalidCause::Expired)
    );
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r24_no_denial_of_one_key_lets_another_begin_before_the_clock_says_so() {
    let (ring, clock) = ring_and_clock();
    let ended = issued(&ring, Grant::new("alice").expires_at(at(1_000))).await;
    let early = issued(&ring, Grant::new("alice").not_before(at(500))).await;

    // A clock that ran ahead for a moment, and was set right.
    clock.set(at(2_000));
    assert_eq!(cause(&ring, &ended).await, Some(InvalidCause::Expired));
    clock.set(START);

    assert_eq!(cause(&ring, &early).await, Some(InvalidCause::NotYetValid));
}

#[tokio::test]
async fn r24_lifetimes_that_overflow_are_typed_errors() {
    let clock = ManualClock::new(START);
    let builder = || KeyRing::builder("acme").clock(clock.clone());
    let limited = builder().build(MemoryStore::new()).unwrap();
    let unlimited = builder()
        .unlimited_lifetime()
        .build(MemoryStore::new())
        .unwrap();
    let overflowing_limit = builder()
        .longest_lifetime(Duration::MAX)
        .build(MemoryStore::new())
        .unwrap();
    let days_90 = Duration::from_secs(90 * 24 * 60 * 60);
    let too_long = ErrorKind::LifetimeTooLong { longest: days_90 };
    let grant = || Grant::new("alice");
    let table = [
        (
            &limited,
            grant().expires_in(Duration::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (&limited, grant().expires_at(Timestamp::MAX), too_long),
        (&limited, grant().expires_in(days_90 + SECOND), too_long),
        (&limited, grant().never_expires(), too_long),
        // A late start does not stretch the limit.
        (
            &limited,
            grant().not_before(at(10)).expires_in(days_90),
            too_long,
        ),
        (
            &limited,
            grant().not_before(Timestamp::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().expires_at(START),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().expires_in(Duration::ZERO),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().expires_in(999 * MILLISECOND),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().not_before(at(10)).expires_at(at(10)),
            ErrorKind::InvalidLifetime,
        ),
        (
            &unlimited,
            grant().expires_in(Duration::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (
            &unlimited,
            grant().not_before(Timestamp::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (
            &unlimited,
            grant().not_before(Timestamp::MAX).expires_in(SECOND),
            ErrorKind::InvalidLifetime,
        ),
        (&overflowing_limit, grant(), ErrorKind::InvalidLifetime),
        (
            &overflowing_limit,
            grant().expires_in(Duration::MAX),
            ErrorKind::InvalidLifetime,
        ),
    ];
    for (ring, grant, expected) in table {
        let told = format!("{ring:?} {grant:?}");
        let error = ring.issue(grant).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{told}");
        assert!(ring.list(&Default::default()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn r24_no_key_is_valid_at_the_end_of_time_and_one_that_never_expires_survives_it() {
    let clock = ManualClock::new(START);
    let ring = KeyRing::builder("acme")
        .clock(clock.clone())
        .unlimited_lifetime()
        .build(MemoryStore::new())
        .unwrap();
    let never = issued(&ring, Grant::new("alice").never_expires()).await;
    let last = issued(&ring, Grant::new("alice").expires_at(Timestamp::MAX)).await;
    let just_before = Timestamp::from_unix(u64::MAX - 1);

    for (now, expected) in [
        (START, None),
        (just_before, None),
        // What a broken clock says.
        (Timestamp::MAX, Some(InvalidCause::Expired)),
        (START, None),
    ] {
        clock.set(now);
        assert_eq!(cause(&ring, &never).await, expected, "never, at {now}");
        assert_eq!(cause(&ring, &last).await, expected, "last, at {now}");
    }
}
