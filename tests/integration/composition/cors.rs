//! CORS on either side.

use http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN,
};
use http::{Method, Request, StatusCode};
use tower::ServiceBuilder;
use tower_api_key::{ApiKeyLayer, RejectionKind};
use tower_http::cors::CorsLayer;

use crate::support::{Inner, X_API_KEY, key, request, ring, send, with_key};

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

const CORS_VARY: &str = "origin";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

#[tokio::test]
async fn r16_cors_outside_answers_preflights_and_lets_browsers_read_refusals() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(cors())
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
    assert_eq!(response.values("vary"), [format!("{CORS_VARY}, x-api-key")]);
    assert_eq!(inner.calls(), 1);
}
