//! A store that fails, hangs or panics (rule 20): 503, and the inner service uncalled.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use http::{Request, StatusCode};
use tower::Layer;
use tower_api_key::{
    ApiKeyLayer, Clock, KeyRingBuilder, Pepper, RejectionKind, Timestamp, VerifyErrorKind,
    observer_fn,
};

use crate::stores::{Outcome, scripted_ring, scripted_ring_with};
use crate::support::{Inner, START, Whole, issue, key, poll_once, ring, send, with_key};

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
                assert_eq!(rejection.claimed_key_id(), Some(issued.record().id()));
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
        assert_eq!(rejection.claimed_key_id(), Some(issued.record().id()));
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
    let none: fn(KeyRingBuilder) -> KeyRingBuilder = |builder| builder;
    let quarter: fn(KeyRingBuilder) -> KeyRingBuilder =
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
        let Poll::Ready(response) = poll_once(&mut response) else {
            panic!("the wait goes on after {bound:?}");
        };
        assert_unavailable(&response, &inner, &format!("{bound:?}"));
        assert!(!store.release(0, Outcome::Honest), "the look-up is dropped");

        // The next request has its own bound.
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
            assert!(!request.is_finished(), "it did not wait: {status}");
            tokio::task::yield_now().await;
        }
        if status == StatusCode::OK {
            assert!(store.release(index, Outcome::Honest));
        } else {
            clock.advance(2 * SECOND);
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(request.is_finished(), "nothing woke the request: {status}");
        assert_eq!(request.await.unwrap().status, status);
        // The sleeper of the answered request is still listed. Release it.
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

    let Poll::Ready(response) = poll_once(&mut response) else {
        panic!("each look-up has a bound of its own");
    };
    assert_unavailable(&response, &inner, "the second look-up");
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

/// A clock that has the time but cannot wait.
#[derive(Debug)]
struct NoTimer;

impl Clock for NoTimer {
    fn now(&self) -> Timestamp {
        START
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        panic!("no timer")
    }
}

#[tokio::test]
async fn r20_where_no_timer_can_be_set_there_is_no_wait() {
    let (ring, _, store) = scripted_ring_with(|builder| builder.clock(NoTimer));
    let key = key(&ring, "read").await;
    store.hold();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).layer(inner.clone());
    let response = send(&service, with_key(&key)).await;
    assert_unavailable(&response, &inner, "no timer");
}

fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect()
}

/// Operators learn why there is no verdict, but the client does not.
#[tokio::test]
async fn r20_the_cause_of_an_outage_reaches_all_but_the_response() {
    let told: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let events = Arc::clone(&told);
    let (ring, _, store) = scripted_ring_with(|builder| {
        builder.observer(observer_fn(move |event| {
            if let Some(failure) = event.failure() {
                events.lock().unwrap().push(chain(failure));
            }
        }))
    });
    let key = key(&ring, "read").await;
    let service = ApiKeyLayer::new(ring.clone()).layer(Inner::new());
    for (outcome, cause) in [
        (Outcome::Error, "the disk is gone"),
        (Outcome::Panic, "the store panicked"),
    ] {
        for waits in [false, true] {
            store.answer(outcome);
            if waits {
                store.hold();
            }
            let mut response = Box::pin(send(&service, with_key(&key)));
            let response = match poll_once(&mut response) {
                Poll::Ready(response) => response,
                Poll::Pending => {
                    assert!(store.release(store.held() - 1, outcome));
                    response.await
                }
            };
            let expected = ["the store is unavailable", cause];
            let rejection = response.rejection.as_ref().unwrap();
            assert_eq!(chain(rejection)[1..], expected);
            assert_eq!(told.lock().unwrap().pop().unwrap(), expected);
            assert_eq!(
                response.json(),
                serde_json::json!({
                    "title": "Service Unavailable",
                    "status": 503,
                    "detail": "Key store unavailable",
                })
            );
            store.answer(outcome);
            let error = ring.verify(key.as_bytes()).await.unwrap_err();
            assert_eq!(chain(&error)[1..], expected);
        }
    }
}
