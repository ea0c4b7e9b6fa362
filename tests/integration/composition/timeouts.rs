//! Timeouts on either side. Only they advance the clock of the runtime.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{ServiceBuilder, service_fn};
use tower_api_key::store::{Lookup, MemoryStore};
use tower_api_key::{ApiKeyLayer, KeyRing, ManualClock, RejectionKind};
use tower_http::timeout::TimeoutLayer;

use crate::ring::stores::Tapped;
use crate::support::{Inner, START, key, ring, send, with_key};

const SECOND: Duration = Duration::from_secs(1);

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
    // It went to the holder of a key, so it is guarded like any other response.
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
