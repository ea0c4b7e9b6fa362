//! Layers that change or bound bodies.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_api_key::{ApiKeyLayer, RejectionKind};
use tower_http::compression::CompressionLayer;
use tower_http::decompression::DecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;

use crate::support::{Inner, X_API_KEY, as_grpc, key, request, ring, send, with_key};

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

    // If a client decompresses the response, it reads the same problem.
    let client = DecompressionLayer::new().layer(compressing.clone());
    let response = send(&client, Request::new(())).await;
    assert_eq!(response.body, expected.body);
    assert_eq!(response.status, expected.status);

    // gRPC responses are left alone.
    let grpc = as_grpc(request([(ACCEPT_ENCODING, "gzip")]), "application/grpc");
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
    assert_eq!(response.values("vary"), ["accept-encoding, x-api-key"]);
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
