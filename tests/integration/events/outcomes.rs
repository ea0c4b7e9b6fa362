//! Each request has one outcome, and the ring's observer receives it once.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyLayer, EventKind, Issued, KeyRing, RejectionKind, RequireScopeLayer, Requirement,
    VerifiedKey,
};

use super::requests::{Fixture, fixture};
use super::{Recorder, Told, about, nameless, rejected};
use crate::support::{Inner, issue, poll_once, send, with_key};

const LACKING: RejectionKind = RejectionKind::InsufficientScope;

/// A ring, and a key with the scope `read` whose issue event has already been received.
async fn issued(later: bool) -> (Fixture, Issued) {
    let fixture = fixture(later);
    let issued = issue(&fixture.ring, "read").await;
    fixture.recorder.take();
    (fixture, issued)
}

fn guard(scope: &str) -> tower_api_key::guard::RequireScope<Inner> {
    RequireScopeLayer::new(scope).layer(Inner::new())
}

#[tokio::test]
async fn what_a_guard_refuses_is_told_once() {
    for later in [false, true] {
        let (fixture, issued) = issued(later).await;
        let layer = ApiKeyLayer::new(fixture.ring.clone());
        let key = issued.secret().expose();
        let response = send(&layer.layer(guard("read")), with_key(key)).await;
        assert_eq!(response.status, StatusCode::OK);
        let record = issued.record();
        assert_eq!(
            fixture.recorder.take(),
            [about(EventKind::Authenticated, record)]
        );
        send(&layer.layer(guard("write")), with_key(key)).await;
        assert_eq!(fixture.recorder.take(), [about(rejected(LACKING), record)]);

        let optional = layer.optional();
        send(&optional.layer(guard("write")), with_key(key)).await;
        assert_eq!(fixture.recorder.take(), [about(rejected(LACKING), record)]);
        send(&optional.layer(guard("read")), Request::new(())).await;
        assert_eq!(
            fixture.recorder.take(),
            [nameless(rejected(RejectionKind::Missing), None)]
        );
    }
}

#[tokio::test]
async fn what_a_handler_refuses_is_told_once() {
    let (fixture, issued) = issued(false).await;
    let handler = service_fn(|request: Request<()>| {
        let key = request.extensions().get::<VerifiedKey>().unwrap();
        let lacking = key.require(&Requirement::scope("write").unwrap());
        ready(Ok::<_, Infallible>(
            lacking.unwrap_err().into_response().map(Full::new),
        ))
    });
    let layer = ApiKeyLayer::new(fixture.ring.clone());
    let response = send(&layer.layer(handler), with_key(issued.secret().expose())).await;
    assert_eq!(response.status, StatusCode::FORBIDDEN);
    let record = issued.record();
    assert_eq!(fixture.recorder.take(), [about(rejected(LACKING), record)]);
}

#[tokio::test]
async fn a_guards_own_observer_hears_what_the_guard_refuses() {
    let (fixture, issued) = issued(false).await;
    let own = Recorder::default();
    let guard = |scope: &str| {
        let layer = RequireScopeLayer::new(scope).observer(own.clone());
        layer.layer(Inner::new())
    };
    let layer = ApiKeyLayer::new(fixture.ring.clone());
    let key = issued.secret().expose();
    send(&layer.layer(guard("read")), with_key(key)).await;
    assert_eq!(own.take(), [], "it passes");
    fixture.recorder.take();

    let lacking = [about(rejected(LACKING), issued.record())];
    send(&layer.layer(guard("write")), with_key(key)).await;
    assert_eq!(own.take(), lacking);
    assert_eq!(fixture.recorder.take(), lacking);

    // Alone it has no realm, and no other observer receives the event.
    send(&guard("read"), with_key(key)).await;
    let kind = rejected(RejectionKind::NotAuthenticated);
    let nobody = Told {
        realm: None,
        ..nameless(kind, None)
    };
    assert_eq!(own.take(), [nobody]);
    assert_eq!(fixture.recorder.take(), []);
}

/// Each ring's observer receives the outcome of its own key.
#[tokio::test]
async fn of_two_rings_the_one_whose_key_the_guard_judged_hears_the_refusal() {
    let (outer, outer_key) = issued(false).await;
    let inner_recorder = Recorder::default();
    let inner = KeyRing::builder("beta")
        .realm("orders")
        .observer(inner_recorder.clone())
        .build(tower_api_key::store::MemoryStore::new())
        .unwrap();
    let inner_key = issue(&inner, "read").await;
    inner_recorder.take();
    let carrier = http::HeaderName::from_static("x-beta-key");
    let source = tower_api_key::Source::header(carrier.clone()).unwrap();
    let stack = ApiKeyLayer::new(outer.ring.clone()).layer(
        ApiKeyLayer::new(inner)
            .sources([source])
            .layer(guard("write")),
    );
    let mut request = with_key(outer_key.secret().expose());
    let value = inner_key.secret().expose().parse().unwrap();
    request.headers_mut().insert(carrier, value);
    assert_eq!(send(&stack, request).await.kind(), Some(LACKING));
    let lacking = about(rejected(LACKING), inner_key.record());
    assert_eq!(inner_recorder.take(), [lacking]);
    let authenticated = about(EventKind::Authenticated, outer_key.record());
    assert_eq!(outer.recorder.take(), [authenticated]);

    // A refusal by the inner layer is not a guard's refusal either.
    let request = with_key(outer_key.secret().expose());
    let kind = Some(RejectionKind::Missing);
    assert_eq!(send(&stack, request).await.kind(), kind);
    let missing = nameless(rejected(RejectionKind::Missing), None);
    assert_eq!(inner_recorder.take(), [missing]);
    let authenticated = about(EventKind::Authenticated, outer_key.record());
    assert_eq!(outer.recorder.take(), [authenticated]);
}

/// A response of the inner service, a failure, a panic, and a client that disconnects.
#[tokio::test]
async fn a_request_that_is_let_in_is_told_once_whatever_becomes_of_it() {
    type Answer = Response<Full<Bytes>>;

    for later in [false, true] {
        let (fixture, issued) = issued(later).await;
        let layer = ApiKeyLayer::new(fixture.ring.clone()).require("read");
        let request = || with_key(issued.secret().expose());
        let heard = || fixture.recorder.take();
        let once = [about(EventKind::Authenticated, issued.record())];

        let failing = service_fn(|_: Request<()>| ready(Err::<Answer, _>("failed")));
        let failed = layer.layer(failing).oneshot(request()).await;
        assert_eq!(failed.err(), Some("failed"));
        assert_eq!(heard(), once, "failed, later: {later}");

        let panicking = service_fn(
            |_: Request<()>| -> std::future::Ready<Result<Answer, Infallible>> {
                panic!("the inner service")
            },
        );
        let call = layer.layer(panicking).oneshot(request());
        let call = futures_catch(call).await;
        assert!(call.is_err());
        assert_eq!(heard(), once, "panicked, later: {later}");

        let hanging = service_fn(|_: Request<()>| pending::<Result<Answer, Infallible>>());
        let mut call = Box::pin(layer.layer(hanging).call(request()));
        for _ in 0..10 {
            assert!(poll_once(&mut call).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(heard(), [], "nothing became of it yet");
        drop(call);
        assert_eq!(heard(), once, "hung up, later: {later}");
    }
}

/// Catches a panic of a future.
async fn futures_catch<T>(future: impl Future<Output = T>) -> std::thread::Result<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let poll = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn what_an_extractor_refuses_is_told_once() {
    use axum::Router;
    use axum::routing::get;
    use tower_api_key::VerifiedKey;

    let (fixture, issued) = issued(false).await;
    let app = Router::new()
        .route(
            "/",
            get(|key: VerifiedKey| async move { key.subject().to_string() }),
        )
        .layer(ApiKeyLayer::new(fixture.ring.clone()).optional());
    let response = app.clone().oneshot(Request::new(axum::body::Body::empty()));
    assert_eq!(response.await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let missing = nameless(rejected(RejectionKind::Missing), None);
    assert_eq!(fixture.recorder.take(), [missing]);
    let request = with_key(issued.secret().expose()).map(|()| axum::body::Body::empty());
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::OK);
    let authenticated = about(EventKind::Authenticated, issued.record());
    assert_eq!(fixture.recorder.take(), [authenticated]);
}
