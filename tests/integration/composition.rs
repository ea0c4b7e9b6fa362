//! Beside the layers of tower and tower-http, on either side of them where the order matters.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tower::buffer::Buffer;
use tower::util::{BoxCloneService, BoxCloneSyncService, MapResponseLayer};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::store::{Lookup, MemoryStore};
use tower_api_key::{
    ApiKeyLayer, Body, KeyRing, ManualClock, RejectionKind, RequireScopeLayer, Requirement,
    VerifiedKey,
};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::decompression::DecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::sensitive_headers::{SetSensitiveHeadersLayer, SetSensitiveRequestHeadersLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::ring::stores::Tapped;
use crate::support::{Inner, START, X_API_KEY, key, request, ring, send, with_key};

const SECOND: Duration = Duration::from_secs(1);

/// `Cors` and `Timeout` answer with `Default::default()`, so they ask for a body that has one.
fn boxed<B, E>(response: Response<Body<B>>) -> Response<UnsyncBoxBody<Bytes, E>>
where
    B: http_body::Body<Data = Bytes, Error = E> + Send + 'static,
    E: 'static,
{
    response.map(UnsyncBoxBody::new)
}

struct Probe<T>(PhantomData<T>);

trait HasNoDefault {
    const HAS_DEFAULT: bool = false;
}

impl<T> HasNoDefault for Probe<T> {}

#[allow(dead_code, reason = "whether it is used is the question")]
impl<T: Default> Probe<T> {
    const HAS_DEFAULT: bool = true;
}

/// Without it, neither `CorsLayer` nor `TimeoutLayer` can stand directly outside a layer of this
/// crate, and rule 16 tells users to put a `CorsLayer` there.
#[test]
fn r16_the_body_has_the_default_that_cors_and_timeout_ask_for() {
    struct NoDefault;
    assert!(
        Probe::<Full<Bytes>>::HAS_DEFAULT,
        "the probe sees a Default"
    );
    assert!(
        !Probe::<NoDefault>::HAS_DEFAULT,
        "the probe sees where none is"
    );
    assert!(Probe::<Body<Full<Bytes>>>::HAS_DEFAULT);
    assert!(Probe::<Body<NoDefault>>::HAS_DEFAULT);
}

const ALLOWED_ORIGIN: HeaderValue = HeaderValue::from_static("https://app.example");

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([ALLOWED_ORIGIN])
        .allow_methods([Method::GET, Method::PUT])
        .allow_headers([X_API_KEY])
}

fn preflight() -> Request<()> {
    let mut request = request([
        (ORIGIN, "https://app.example"),
        (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
        (ACCESS_CONTROL_REQUEST_HEADERS, "x-api-key"),
    ]);
    *request.method_mut() = Method::OPTIONS;
    request
}

const CORS_VARY: &str = "origin, access-control-request-method, access-control-request-headers";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

#[tokio::test]
async fn r16_cors_outside_answers_preflights_and_lets_browsers_read_refusals() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(cors())
        .layer(MapResponseLayer::new(boxed))
        .layer(ApiKeyLayer::new(ring))
        .service(inner.clone());

    let response = send(&service, preflight()).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.kind(), None);
    assert_eq!(response.values("access-control-allow-methods"), ["GET,PUT"]);
    assert_eq!(
        response.values("access-control-allow-headers"),
        ["x-api-key"]
    );
    assert_eq!(inner.calls(), 0);

    let response = send(&service, request([(ORIGIN, "https://app.example")])).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    assert_eq!(response.values(ALLOW_ORIGIN), [ALLOWED_ORIGIN]);
    assert_eq!(response.values("vary"), ["x-api-key", CORS_VARY]);
    assert_eq!(
        response.values("www-authenticate"),
        ["ApiKey realm=\"orders\""]
    );
    assert_eq!(response.values("cache-control"), ["no-store"]);
    assert_eq!(inner.calls(), 0);

    let accepted = request([(ORIGIN, "https://app.example"), (X_API_KEY, &key)]);
    let response = send(&service, accepted).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.values(ALLOW_ORIGIN), [ALLOWED_ORIGIN]);
    assert_eq!(response.values("vary"), ["x-api-key", CORS_VARY]);
    assert_eq!(response.values("cache-control"), ["private"]);
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn r16_cors_inside_never_sees_a_preflight() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring))
        .layer(cors())
        .service(inner.clone());

    let response = send(&service, preflight()).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    assert_eq!(response.values(ALLOW_ORIGIN), [""; 0]);
    assert_eq!(response.values("vary"), ["x-api-key"]);

    let mut options = Request::new(());
    *options.method_mut() = Method::OPTIONS;
    let response = send(&service, options).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(inner.calls(), 0);

    let response = send(&service, with_key(&key)).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.values("vary"), [CORS_VARY, "x-api-key"]);
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_inside_bounds_the_inner_service_alone() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let slow = service_fn(|_: Request<()>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND);
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring))
        .layer(timeout)
        .service(slow);

    let response = send(&service, with_key(&key)).await;
    assert_eq!(
        (response.status, response.kind()),
        (StatusCode::GATEWAY_TIMEOUT, None)
    );
    // It went to the holder of a key, so it is guarded like any other.
    assert_eq!(response.values("vary"), ["x-api-key"]);
    assert_eq!(response.values("cache-control"), ["private"]);

    let response = send(&service, Request::new(())).await;
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
}

#[tokio::test(start_paused = true)]
async fn r20_a_timeout_outside_bounds_the_store_too() {
    let store = MemoryStore::new();
    let stuck =
        Tapped::new(&store).on_find(|_, _, _| Lookup::Pending(Box::pin(std::future::pending())));
    let clock = ManualClock::new(START);
    let ring = KeyRing::builder("acme")
        .clock(clock.clone())
        .build(stuck)
        .unwrap();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            SECOND,
        ))
        .layer(MapResponseLayer::new(boxed))
        .layer(ApiKeyLayer::new(ring))
        .service(inner.clone());

    // The ring's own clock stands still, so its bound does not come first.
    let response = send(&service, with_key(&key)).await;
    assert_eq!(
        (response.status, response.kind()),
        (StatusCode::GATEWAY_TIMEOUT, None)
    );
    assert_eq!(inner.calls(), 0);

    let response = send(&service, Request::new(())).await;
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn compression_outside_compresses_refusals_and_spoils_nothing() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let plain = ApiKeyLayer::new(ring).layer(inner.clone());
    let compressing = CompressionLayer::new().layer(plain.clone());

    let expected = send(&plain, Request::new(())).await;
    let response = send(&compressing, request([(ACCEPT_ENCODING, "gzip")])).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    assert_eq!(response.values("content-encoding"), ["gzip"]);
    assert_eq!(
        response.values("content-type"),
        ["application/problem+json"]
    );
    assert_eq!(
        response.values("www-authenticate"),
        expected.values("www-authenticate")
    );
    assert_eq!(response.values("cache-control"), ["no-store"]);
    assert_eq!(response.values("vary"), ["x-api-key", "accept-encoding"]);
    assert!(response.body.starts_with(b"\x1f\x8b"));

    // Whoever reads it through a client that decompresses reads the same problem.
    let client = DecompressionLayer::new().layer(compressing.clone());
    let response = send(&client, Request::new(())).await;
    assert_eq!(response.body, expected.body);
    assert_eq!(response.status, expected.status);

    // gRPC responses are left alone.
    let grpc = request([
        (CONTENT_TYPE, "application/grpc"),
        (ACCEPT_ENCODING, "gzip"),
    ]);
    let response = send(&compressing, grpc).await;
    assert_eq!(response.values("content-encoding"), [""; 0]);
    assert_eq!(response.values("grpc-status"), ["16"]);
    assert_eq!(inner.calls(), 0);

    let response = send(&compressing, with_key(&key)).await;
    assert_eq!(response.body, "inner");
    assert_eq!(response.values("vary"), ["x-api-key"]);
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn compression_inside_leaves_refusals_alone() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let long = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("inner ".repeat(100))))
    });
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring))
        .layer(CompressionLayer::new())
        .service(long);

    let response = send(&service, request([(ACCEPT_ENCODING, "gzip")])).await;
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    assert_eq!(response.values("content-encoding"), [""; 0]);
    assert_eq!(response.json()["detail"], "API key missing");

    let accepted = request([(ACCEPT_ENCODING, "gzip"), (X_API_KEY, &key)]);
    let response = send(&service, accepted).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.values("content-encoding"), ["gzip"]);
    assert_eq!(response.values("vary"), ["accept-encoding", "x-api-key"]);
    assert!(response.body.starts_with(b"\x1f\x8b"));
}

/// A request that announces a body of this length.
fn announcing(length: &str, key: Option<&str>) -> Request<Full<Bytes>> {
    let headers = [(CONTENT_LENGTH, length)];
    let headers = headers.into_iter().chain(key.map(|key| (X_API_KEY, key)));
    request(headers).map(|()| Full::from("x"))
}

#[tokio::test]
async fn a_body_limit_answers_before_or_after_authentication() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let outside = ServiceBuilder::new()
        .layer(RequestBodyLimitLayer::new(100))
        .layer(ApiKeyLayer::new(ring.clone()))
        .service(inner.clone());
    let inside = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring))
        .layer(RequestBodyLimitLayer::new(100))
        .service(inner.clone());

    let (ok, unauthorized) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
    let too_large = StatusCode::PAYLOAD_TOO_LARGE;
    for (length, key, when_outside, when_inside) in [
        ("100", None, unauthorized, unauthorized),
        ("101", None, too_large, unauthorized),
        ("101", Some(key.as_str()), too_large, too_large),
        ("101", Some("nonsense"), too_large, unauthorized),
        ("100", Some(key.as_str()), ok, ok),
    ] {
        let before = inner.calls();
        let response = send(&outside, announcing(length, key)).await;
        assert_eq!(response.status, when_outside, "outside: {length} {key:?}");
        let response = send(&inside, announcing(length, key)).await;
        assert_eq!(response.status, when_inside, "inside: {length} {key:?}");
        let called = if when_outside == ok { 2 } else { 0 };
        assert_eq!(inner.calls() - before, called, "{length} {key:?}");
    }
}

#[tokio::test]
async fn sensitive_headers_on_either_side() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(SetSensitiveHeadersLayer::new([
            X_API_KEY,
            HeaderName::from_static("www-authenticate"),
        ]))
        .layer(ApiKeyLayer::new(ring.clone()))
        .layer(SetSensitiveRequestHeadersLayer::new([X_API_KEY]))
        .service(inner.clone());
    let response = send(&service, with_key(&key)).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(!inner.last().headers.contains_key(X_API_KEY));
    let response = send(&service, Request::new(())).await;
    assert!(response.headers["www-authenticate"].is_sensitive());
    assert_eq!(
        response.values("www-authenticate"),
        ["ApiKey realm=\"orders\""]
    );

    // A forwarded credential is sensitive with no help from outside.
    let forwarding = ApiKeyLayer::new(ring)
        .forward_credential()
        .layer(inner.clone());
    send(&forwarding, with_key(&key)).await;
    let forwarded = &inner.last().headers[X_API_KEY];
    assert!(forwarded.is_sensitive());
    assert_eq!(forwarded.as_bytes(), key.as_bytes());
}

/// A trace asks for a body on both ways.
fn no_body((): ()) -> Full<Bytes> {
    Full::default()
}

#[tokio::test]
async fn trace_on_either_side() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(ApiKeyLayer::new(ring))
        .layer(TraceLayer::new_for_grpc())
        .service(inner.clone());
    let response = send(&service, with_key(&key).map(no_body)).await;
    assert_eq!(
        (response.status, &response.body[..]),
        (StatusCode::OK, &b"inner"[..])
    );
    let response = send(&service, Request::new(no_body(()))).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.json()["detail"], "API key missing");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn the_layer_in_boxes_and_buffers() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let layer = ApiKeyLayer::new(ring);

    let boxed = BoxCloneService::new(layer.layer(inner.clone()));
    let shared = BoxCloneSyncService::new(layer.layer(inner.clone()));
    let around_box = layer.layer(BoxCloneService::new(inner.clone()));
    let buffered = Buffer::new(layer.layer(inner.clone()), 4);
    let around_buffer = layer.layer(Buffer::new(inner.clone(), 4));
    macro_rules! assert_gate {
        ($($service:ident)*) => {$(
            let before = inner.calls();
            let response = send(&$service, Request::new(())).await;
            assert_eq!(response.kind(), Some(RejectionKind::Missing), stringify!($service));
            assert_eq!(inner.calls(), before, stringify!($service));
            let response = send(&$service, with_key(&key)).await;
            assert_eq!(response.status, StatusCode::OK, stringify!($service));
            assert_eq!(inner.calls(), before + 1, stringify!($service));
            assert!(inner.last().extensions.get::<VerifiedKey>().is_some());
        )*};
    }
    assert_gate!(boxed shared around_box buffered around_buffer);
}

#[tokio::test]
async fn guards_are_stacked_inside_the_layer_and_useless_outside() {
    let ring = ring();
    let inner = Inner::new();
    let either = Requirement::any(["admin", "orders:write"]).unwrap();
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring.clone()).require("orders"))
        .layer(RequireScopeLayer::new(either))
        .layer(RequireScopeLayer::new("audit"))
        .service(inner.clone());
    for (scopes, lacking) in [
        ("", Some("orders")),
        ("admin audit", Some("orders")),
        ("orders audit", Some("admin or orders:write")),
        ("orders orders:write", Some("audit")),
        ("orders orders:write audit", None),
        ("admin audit orders", None),
    ] {
        let before = inner.calls();
        let response = send(&service, with_key(&key(&ring, scopes).await)).await;
        let status = if lacking.is_some() {
            StatusCode::FORBIDDEN
        } else {
            StatusCode::OK
        };
        assert_eq!(response.status, status, "{scopes}");
        let detail = response
            .rejection
            .map(|rejection| rejection.detail().to_owned());
        let expected = lacking.map(|lacking| format!("Insufficient scope: expected {lacking}"));
        assert_eq!(detail, expected, "{scopes}");
        assert_eq!(
            inner.calls() - before,
            usize::from(lacking.is_none()),
            "{scopes}"
        );
    }

    // The other way round, the guard runs before there is a proof.
    let before = inner.calls();
    let reversed = ServiceBuilder::new()
        .layer(RequireScopeLayer::new("orders"))
        .layer(ApiKeyLayer::new(ring.clone()))
        .service(inner.clone());
    let response = send(&reversed, with_key(&key(&ring, "orders").await)).await;
    assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.kind(), Some(RejectionKind::NotAuthenticated));
    assert_eq!(response.values(CACHE_CONTROL.as_str()), ["no-store"]);
    assert_eq!(inner.calls(), before);
}

#[tokio::test]
async fn the_innermost_ring_is_the_one_that_counts() {
    let (outer, inner_ring) = (ring(), ring());
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(outer.clone()).forward_credential())
        .layer(ApiKeyLayer::new(inner_ring.clone()))
        .service(inner.clone());
    for ring in [&outer, &inner_ring] {
        let response = send(&service, with_key(&key(ring, "read").await)).await;
        assert_eq!(response.kind(), Some(RejectionKind::Invalid));
    }
    assert_eq!(inner.calls(), 0);

    // The body type of two layers is still a body, collected to the end.
    let response = service.oneshot(Request::new(())).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{\"title\":\"Unauthorized\""));
}
