//! Combined with the layers of tower and tower-http, on either side of them if the order matters.

mod bodies;
mod cors;
mod timeouts;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::buffer::Buffer;
use tower::util::{BoxCloneService, BoxCloneSyncService};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_api_key::{ApiKeyLayer, RejectionKind, RequireScopeLayer, Requirement, VerifiedKey};
use tower_http::sensitive_headers::{SetSensitiveHeadersLayer, SetSensitiveRequestHeadersLayer};
use tower_http::trace::TraceLayer;

use crate::support::{Inner, X_API_KEY, key, ring, send, with_key};

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

    // A forwarded credential is marked sensitive without outside help.
    let forwarding = ApiKeyLayer::new(ring)
        .forward_credential()
        .layer(inner.clone());
    send(&forwarding, with_key(&key)).await;
    let forwarded = &inner.last().headers[X_API_KEY];
    assert!(forwarded.is_sensitive());
    assert_eq!(forwarded.as_bytes(), key.as_bytes());
}

/// A trace asks for a body in both directions.
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
