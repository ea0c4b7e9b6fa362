//! Rule 17: the service that reported that it is ready is the one that is called, once, and only if
//! the request passed.

mod tracked;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tower::buffer::Buffer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_api_key::auth::ApiKeyAuth;
use tower_api_key::{ApiKeyLayer, Rejection, RejectionKind, RequireScopeLayer};

use self::tracked::{Failure, Tracked};
use crate::stores::{Outcome, scripted_ring};
use crate::support::{Inner, key, poll_once, ring, send, with_key};

fn poll_ready<S: Service<Request<()>>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

fn kind<B>(response: &Response<B>) -> Option<RejectionKind> {
    response.extensions().get().map(Rejection::kind)
}

/// Makes the service ready and starts a request, as a server does.
#[track_caller]
fn start(
    service: &mut ApiKeyAuth<Tracked>,
    key: &str,
) -> std::pin::Pin<Box<<ApiKeyAuth<Tracked> as Service<Request<()>>>::Future>> {
    assert_eq!(poll_ready(service), Poll::Ready(Ok(())));
    Box::pin(service.call(with_key(key)))
}

#[tokio::test]
async fn r17_a_store_that_answers_at_once_needs_no_clone() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let (tracked, shared) = Tracked::new();
    let mut service = ApiKeyLayer::new(ring).require("read").layer(tracked);

    for round in 1..=3 {
        let response = start(&mut service, &key).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(shared.was_called(), vec![0; round]);
    }
    assert_eq!(shared.was_ready(), [0, 0, 0]);
    assert_eq!(shared.clones.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn r17_a_request_that_waits_takes_the_ready_service_along() {
    let (ring, _, store) = scripted_ring();
    let key = key(&ring, "read").await;
    store.hold();
    let (tracked, shared) = Tracked::new();
    let mut service = ApiKeyLayer::new(ring).require("read").layer(tracked);

    let mut response = start(&mut service, &key);
    assert!(poll_once(&mut response).is_pending());
    assert_eq!(shared.was_called(), [0; 0]);
    assert!(
        !service.get_ref().ready,
        "readiness is not handed out twice"
    );

    assert!(store.release(0, Outcome::Honest));
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(shared.was_ready(), [0]);
    assert_eq!(shared.was_called(), [0]);
}

#[tokio::test]
async fn r17_several_requests_in_flight_each_call_the_service_that_was_ready_for_them() {
    let (ring, _, store) = scripted_ring();
    let key = key(&ring, "read").await;
    store.hold();
    let (tracked, shared) = Tracked::new();
    let mut service = ApiKeyLayer::new(ring).layer(tracked);

    let mut responses = Vec::new();
    for _ in 0..4 {
        let mut response = start(&mut service, &key);
        assert!(poll_once(&mut response).is_pending());
        responses.push(response);
    }
    let was_ready = shared.was_ready();
    let distinct: BTreeSet<usize> = was_ready.iter().copied().collect();
    assert_eq!(distinct.len(), 4, "{was_ready:?}");

    for index in [2, 0, 3, 1] {
        assert!(store.release(index, Outcome::Honest));
        let Poll::Ready(response) = poll_once(&mut responses[index]) else {
            panic!("request {index} has its answer");
        };
        assert_eq!(response.unwrap().status(), 200);
        assert_eq!(shared.was_called().last(), Some(&was_ready[index]));
    }
    assert_eq!(shared.was_called().len(), 4);
}

#[tokio::test]
async fn r17_a_refused_request_leaves_the_service_ready_and_uncalled() {
    let (ring, _, store) = scripted_ring();
    let key = key(&ring, "read").await;
    let (tracked, shared) = Tracked::new();
    let mut service = ApiKeyLayer::new(ring).require("write").layer(tracked);

    for (presented, expected) in [
        ("nonsense", RejectionKind::Invalid),
        ("", RejectionKind::Missing),
        (&key, RejectionKind::InsufficientScope),
    ] {
        let response = start(&mut service, presented).await.unwrap();
        assert_eq!(kind(&response), Some(expected));
    }
    assert!(service.get_ref().ready);

    store.hold();
    for (index, (outcome, expected)) in [
        (Outcome::Honest, RejectionKind::InsufficientScope),
        (Outcome::Error, RejectionKind::StoreUnavailable),
        (Outcome::Panic, RejectionKind::StoreUnavailable),
    ]
    .into_iter()
    .enumerate()
    {
        let mut response = start(&mut service, &key);
        assert!(poll_once(&mut response).is_pending());
        assert!(store.release(index, outcome));
        assert_eq!(kind(&response.await.unwrap()), Some(expected));
    }
    assert_eq!(shared.was_called(), [0; 0]);
}

#[tokio::test]
async fn r17_a_request_that_is_given_up_midway_harms_no_other() {
    let (ring, clock, store) = scripted_ring();
    let key = key(&ring, "read").await;
    store.hold();
    let (tracked, shared) = Tracked::new();
    let mut service = ApiKeyLayer::new(ring).layer(tracked);

    drop(start(&mut service, &key));
    let mut abandoned = start(&mut service, &key);
    assert!(poll_once(&mut abandoned).is_pending());
    drop(abandoned);
    let mut kept = start(&mut service, &key);
    assert!(poll_once(&mut kept).is_pending());

    assert!(!store.release(0, Outcome::Honest), "nobody waits any more");
    assert!(!store.release(1, Outcome::Panic), "nobody waits any more");
    assert!(store.release(2, Outcome::Honest));
    assert_eq!(kept.await.unwrap().status(), 200);
    assert_eq!(shared.was_called(), [shared.was_ready()[2]]);
    clock.advance(std::time::Duration::from_mins(1));

    store.answer(Outcome::Honest);
    assert_eq!(start(&mut service, &key).await.unwrap().status(), 200);
    assert_eq!(shared.was_called().len(), 2);
}

#[tokio::test]
async fn r17_readiness_and_errors_of_the_inner_service_pass_through() {
    let (ring, _, store) = scripted_ring();
    let key = key(&ring, "read").await;
    let (tracked, shared) = Tracked::new();
    let mut guard = RequireScopeLayer::new("read").layer(tracked.clone());
    let mut service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring))
        .layer(RequireScopeLayer::new("read"))
        .service(tracked);

    for readiness in [
        Poll::Pending,
        Poll::Ready(Err(Failure("not ready"))),
        Poll::Ready(Ok(())),
    ] {
        *shared.readiness.lock().unwrap() = Some(readiness);
        assert_eq!(poll_ready(&mut service), readiness);
        assert_eq!(poll_ready(&mut guard), readiness);
    }

    *shared.readiness.lock().unwrap() = None;
    *shared.fails.lock().unwrap() = Some(Failure("called"));
    let ready = ServiceExt::<Request<()>>::ready(&mut service);
    let at_once = ready.await.unwrap().call(with_key(&key)).await;
    assert_eq!(at_once.unwrap_err(), Failure("called"));

    store.hold();
    let ready = ServiceExt::<Request<()>>::ready(&mut service);
    let mut pending = Box::pin(ready.await.unwrap().call(with_key(&key)));
    assert!(poll_once(&mut pending).is_pending());
    assert!(store.release(0, Outcome::Honest));
    assert_eq!(pending.await.unwrap_err(), Failure("called"));
}

#[tokio::test]
async fn r17_a_buffer_that_reserves_on_ready_works_inside() {
    let (ring, _, store) = scripted_ring();
    let key = key(&ring, "read").await;
    store.hold();
    let inner = Inner::new();
    // One place: a lost reservation would block the next request forever.
    let buffered = Buffer::new(inner.clone(), 1);
    let service = ApiKeyLayer::new(ring).layer(buffered);

    let mut abandoned = Box::pin(send(&service, with_key(&key)));
    assert!(poll_once(&mut abandoned).is_pending());
    assert_eq!(store.held(), 1);
    drop(abandoned);

    let mut response = Box::pin(send(&service, with_key(&key)));
    assert!(poll_once(&mut response).is_pending());
    assert_eq!(store.held(), 2);
    assert!(store.release(1, Outcome::Honest));
    assert_eq!(response.await.status, 200);
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn r17_a_refused_post_leaves_its_connection_to_the_next_request() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = TowerToHyperService::new(ApiKeyLayer::new(ring).layer(inner.clone()));
    let (client, server) = tokio::io::duplex(1 << 16);
    let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let (mut sender, connection) = client::handshake(TokioIo::new(client)).await.unwrap();
    let exchange = async move {
        let body = Full::new(Bytes::from(vec![b'x'; 1000]));
        let refused = Request::post("/").body(body.clone()).unwrap();
        let refused = sender.send_request(refused).await.unwrap();
        assert_eq!(refused.status(), 401);
        refused.into_body().collect().await.unwrap();

        let accepted = Request::post("/").header("x-api-key", key);
        let accepted = sender.send_request(accepted.body(body).unwrap());
        assert_eq!(accepted.await.unwrap().status(), 200);
    };
    let (end, connected, ()) = tokio::join!(serving, connection, exchange);
    end.unwrap();
    connected.unwrap();
    assert_eq!(inner.calls(), 1);
}
