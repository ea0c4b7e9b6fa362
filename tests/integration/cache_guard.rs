//! Rule 26: a shared cache never hands one key's response to the holder of another
//! (RFC 9111 §3.5, RFC 9110 §16.4.2).

use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderName, Request, StatusCode};
use tower::Layer;
use tower_api_key::{ApiKeyLayer, KeyRing, RejectionKind, RequireScopeLayer, Source};

use crate::stores::{Outcome, scripted_ring};
use crate::support::{Inner, Whole, X_API_KEY, key, poll_once, request, ring, send, with_key};

fn both_carriers(ring: &KeyRing) -> ApiKeyLayer {
    ApiKeyLayer::new(ring.clone()).sources([Source::header(X_API_KEY).unwrap(), Source::bearer()])
}

#[track_caller]
fn assert_caching(response: &Whole, cache_control: &[&str], vary: &[&str], what: &str) {
    assert_eq!(response.status, StatusCode::OK, "{what}");
    assert_eq!(response.body, "inner", "{what}");
    assert_eq!(response.values("cache-control"), cache_control, "{what}");
    assert_eq!(response.values("vary"), vary, "{what}");
}

#[tokio::test]
async fn r26_a_response_to_a_key_is_private_and_varies_by_every_carrier() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let table: [(Inner, &[&str], &[&str]); 8] = [
        (Inner::new(), &["private"], &["x-api-key"]),
        (
            Inner::new().with_header(CACHE_CONTROL, "max-age=60"),
            &["max-age=60, private"],
            &["x-api-key"],
        ),
        (
            Inner::new().with_header(CACHE_CONTROL, "max-age=60, must-revalidate"),
            &["max-age=60, must-revalidate"],
            &["x-api-key"],
        ),
        (
            Inner::new().with_header(CACHE_CONTROL, "S-MaxAge=60"),
            &["S-MaxAge=60"],
            &["x-api-key"],
        ),
        (
            Inner::new().with_header(CACHE_CONTROL, "public, max-age=60"),
            &["public, max-age=60"],
            &["x-api-key"],
        ),
        (
            Inner::new().with_header(CACHE_CONTROL, "no-store"),
            &["no-store"],
            &["x-api-key"],
        ),
        (
            Inner::new().with_header(VARY, "accept-encoding"),
            &["private"],
            &["accept-encoding, x-api-key"],
        ),
        (
            Inner::new()
                .with_header(VARY, "accept")
                .with_header(VARY, "origin")
                .with_header(CACHE_CONTROL, "max-age=60")
                .with_header(CACHE_CONTROL, "public"),
            &["max-age=60", "public"],
            &["accept, origin, x-api-key"],
        ),
    ];
    for (inner, cache_control, vary) in table {
        let bearer = format!("Bearer {key}");
        for (layer, presented, carriers) in [
            (ApiKeyLayer::new(ring.clone()), with_key(&key), "x-api-key"),
            (
                both_carriers(&ring),
                with_key(&key),
                "x-api-key, authorization",
            ),
            (
                both_carriers(&ring),
                request([("authorization", &bearer)]),
                "x-api-key, authorization",
            ),
            (
                ApiKeyLayer::new(ring.clone()).sources([Source::bearer()]),
                request([("authorization", &bearer)]),
                "authorization",
            ),
            (
                ApiKeyLayer::new(ring.clone()).sources([Source::authorization_raw()]),
                request([("authorization", &key)]),
                "authorization",
            ),
        ] {
            let response = send(&layer.layer(inner.clone()), presented).await;
            let vary = [vary.concat().replace("x-api-key", carriers)];
            let vary: Vec<&str> = vary.iter().map(String::as_str).collect();
            let what = format!("{carriers} {cache_control:?} {vary:?}");
            assert_caching(&response, cache_control, &vary, &what);
        }
    }
}

#[tokio::test]
async fn r26_vary_names_the_header_that_is_configured() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let header = HeaderName::from_static("x-acme-key");
    let service = ApiKeyLayer::new(ring)
        .sources([Source::header(header.clone()).unwrap()])
        .layer(Inner::new());

    let response = send(&service, request([(header, key)])).await;

    assert_caching(&response, &["private"], &["x-acme-key"], "x-acme-key");
}

#[tokio::test]
async fn r26_an_anonymous_response_may_be_shared_but_not_with_holders_of_keys() {
    let ring = ring();
    let inner = Inner::new().with_header(CACHE_CONTROL, "public");
    let table = [
        (ApiKeyLayer::new(ring.clone()), "x-api-key"),
        (both_carriers(&ring), "x-api-key, authorization"),
        (
            ApiKeyLayer::new(ring.clone()).sources([Source::bearer()]),
            "authorization",
        ),
        (
            ApiKeyLayer::new(ring.clone()).sources([Source::authorization_raw()]),
            "authorization",
        ),
    ];
    for (layer, vary) in table {
        let layer = layer.optional();
        let short = Inner::new().with_header(CACHE_CONTROL, "max-age=60");
        let short = send(&layer.layer(short), Request::new(())).await;
        assert_caching(&short, &["max-age=60"], &[vary], vary);
        let plain = send(&layer.layer(Inner::new()), Request::new(())).await;
        assert_caching(&plain, &[], &[vary], vary);
        let public = send(&layer.layer(inner.clone()), Request::new(())).await;
        assert_caching(&public, &["public"], &[vary], vary);
    }
}

#[tokio::test]
async fn r26_a_key_on_an_optional_layer_makes_the_response_private() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let service = ApiKeyLayer::new(ring).optional().layer(Inner::new());

    let response = send(&service, with_key(&key)).await;

    assert_caching(&response, &["private"], &["x-api-key"], "optional");
}

#[tokio::test]
async fn r26_a_response_after_a_wait_for_the_store_is_guarded_too() {
    let (ring, _, store) = scripted_ring();
    let key = key(&ring, "read").await;
    store.hold();
    let service = ApiKeyLayer::new(ring).layer(Inner::new());

    let mut response = Box::pin(send(&service, with_key(&key)));
    assert!(poll_once(&mut response).is_pending());
    assert!(store.release(0, Outcome::Honest));

    assert_caching(&response.await, &["private"], &["x-api-key"], "pending");
}

#[tokio::test]
async fn r26_a_refusal_by_a_guard_further_in_keeps_its_no_store() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let guarded = RequireScopeLayer::new("write").layer(Inner::new());
    let service = ApiKeyLayer::new(ring).layer(guarded);

    let response = send(&service, with_key(&key)).await;

    assert_eq!(response.status, StatusCode::FORBIDDEN);
    assert_eq!(response.values("cache-control"), ["no-store"]);
    assert_eq!(response.values("vary"), ["*"]);
}

#[tokio::test]
async fn r26_a_refusal_by_a_layer_further_in_names_its_headers_once() {
    let (outer, inner) = (ring(), ring());
    let key = key(&outer, "read").await;
    let further_in = ApiKeyLayer::new(inner).layer(Inner::new());
    for (header, vary) in [
        (X_API_KEY, "x-api-key"),
        (
            HeaderName::from_static("x-other-key"),
            "x-api-key, x-other-key",
        ),
    ] {
        let source = Source::header(header.clone()).unwrap();
        let service = ApiKeyLayer::new(outer.clone()).sources([source]);
        let service = service.layer(further_in.clone());
        let response = send(&service, request([(header, key.as_str())])).await;
        assert_eq!(response.kind(), Some(RejectionKind::Missing));
        assert_eq!(response.values("vary"), [vary]);
    }
}

#[tokio::test]
async fn without_the_guard_accepted_responses_are_left_alone_and_refusals_are_not() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).danger_without_cache_guard();

    let accepted = send(&layer.layer(Inner::new()), with_key(&key)).await;
    assert_caching(&accepted, &[], &[], "accepted");
    let anonymous = layer.clone().optional().layer(Inner::new());
    let anonymous = send(&anonymous, Request::new(())).await;
    assert_caching(&anonymous, &[], &[], "anonymous");

    let refused = send(&layer.layer(Inner::new()), Request::new(())).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.values("cache-control"), ["no-store"]);
    assert_eq!(refused.values("vary"), ["x-api-key"]);
}
