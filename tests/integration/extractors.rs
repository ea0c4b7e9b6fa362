//! The axum extractors: a proof, or a refusal that fits the layer outside. A handler never runs
//! without what it asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::routing::{any, get};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, KeyRing, RejectionKind, StatusProfile, VerifiedKey};

use crate::support::{Whole, X_API_KEY, as_grpc, issue, key, request, ring, send, with_key};

/// Two handlers: one needs a key, and for one it is optional.
fn handlers() -> Router {
    Router::new()
        .route(
            "/needs",
            any(async |key: VerifiedKey| key.subject().to_string()),
        )
        .route(
            "/takes",
            get(async |key: Option<VerifiedKey>| {
                key.map_or("nobody".to_owned(), |key| key.subject().to_string())
            }),
        )
}

async fn ask(router: &Router, path: &str, mut request: Request<()>) -> Whole {
    *request.uri_mut() = path.parse().unwrap();
    send(router, request.map(|()| Body::empty())).await
}

/// A nested router sees only the rest of the path.
#[tokio::test]
async fn r05_a_key_in_what_a_nest_strips_from_the_path_is_seen() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring);
    for layer in [layer.clone(), layer.optional()] {
        let nested = Router::new().nest("/keys/{key}", handlers().layer(layer.clone()));
        let twice = Router::new().nest("/v1", nested.clone());
        for (router, start) in [(&nested, ""), (&twice, "/v1")] {
            for leaked in [key.clone(), key.replace('_', "%5F")] {
                let path = format!("{start}/keys/{leaked}/takes");
                let response = ask(router, &path, with_key(&key)).await;
                assert_eq!(response.kind(), Some(RejectionKind::KeyInUrl), "{path}");
                assert_eq!(response.status, StatusCode::BAD_REQUEST);
            }
            let path = format!("{start}/keys/{}/takes", "x".repeat(100));
            assert_passed(&ask(router, &path, with_key(&key)).await, "alice");
        }
    }
}

fn without_key() -> Request<()> {
    Request::new(())
}

#[track_caller]
fn assert_missing(response: &Whole) {
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    assert_eq!(
        response.values("www-authenticate"),
        ["ApiKey realm=\"orders\""]
    );
    assert_eq!(response.values("cache-control"), ["no-store"]);
    assert_eq!(
        response.body,
        r#"{"title":"Unauthorized","status":401,"detail":"API key missing"}"#
    );
}

#[track_caller]
fn assert_passed(response: &Whole, subject: &str) {
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.body, subject.to_owned());
    assert_eq!(response.kind(), None);
}

#[tokio::test]
async fn behind_the_layer_both_extract_the_proof() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let router = handlers().layer(ApiKeyLayer::new(ring));
    for path in ["/needs", "/takes"] {
        assert_passed(&ask(&router, path, with_key(&key)).await, "alice");
        assert_missing(&ask(&router, path, without_key()).await);
    }
}

#[tokio::test]
async fn behind_an_optional_layer_a_missing_key_is_refused_or_none() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let router = handlers().layer(ApiKeyLayer::new(ring).optional());
    for path in ["/needs", "/takes"] {
        assert_passed(&ask(&router, path, with_key(&key)).await, "alice");
    }
    assert_missing(&ask(&router, "/needs", without_key()).await);
    assert_passed(&ask(&router, "/takes", without_key()).await, "nobody");
}

#[tokio::test]
async fn behind_an_optional_layer_a_wrong_key_is_never_none() {
    let router = handlers().layer(ApiKeyLayer::new(ring()).optional());
    for path in ["/needs", "/takes"] {
        let response = ask(&router, path, with_key("nonsense")).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        assert_eq!(response.kind(), Some(RejectionKind::Invalid));
    }
}

#[tokio::test]
async fn r15_without_a_layer_both_fail_closed() {
    let ring = ring();
    let key = key(&ring, "read").await;
    for path in ["/needs", "/takes"] {
        for request in [with_key(&key), without_key()] {
            let response = ask(&handlers(), path, request).await;
            assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
            assert_eq!(response.kind(), Some(RejectionKind::NotAuthenticated));
            assert_eq!(response.values("www-authenticate"), [""; 0]);
            assert_eq!(
                response.body,
                r#"{"title":"Internal Server Error","status":500,"detail":"Authentication layer missing"}"#
            );
        }
    }
}

#[tokio::test]
async fn r11_an_inner_optional_layer_forgets_the_proof_of_an_outer_one() {
    let outer = ring();
    let key = key(&outer, "read").await;
    let router = handlers()
        .layer(ApiKeyLayer::new(ring()).optional())
        .layer(ApiKeyLayer::new(outer));
    assert_missing(&ask(&router, "/needs", with_key(&key)).await);
    assert_passed(&ask(&router, "/takes", with_key(&key)).await, "nobody");
}

#[tokio::test]
async fn a_key_counts_that_comes_after_an_anonymous_pass() {
    let inner = ring();
    let key = key(&inner, "read").await;
    // With another prefix: the layer would not let a text that looks like its own key pass in
    // another header.
    let elsewhere = KeyRing::builder("other").build(MemoryStore::new()).unwrap();
    let elsewhere = ApiKeyLayer::new(elsewhere)
        .sources([tower_api_key::Source::bearer()])
        .optional();
    let router = handlers().layer(ApiKeyLayer::new(inner)).layer(elsewhere);
    for path in ["/needs", "/takes"] {
        assert_passed(&ask(&router, path, with_key(&key)).await, "alice");
    }
}

#[tokio::test]
async fn the_refusal_of_an_extractor_is_the_layers_own() {
    let profile = ApiKeyLayer::new(ring()).profile(StatusProfile::AwsGateway);
    let router = handlers().layer(profile.optional());
    let response = ask(&router, "/needs", without_key()).await;
    assert_eq!(response.status, StatusCode::FORBIDDEN);
    assert_eq!(response.kind(), Some(RejectionKind::Missing));

    let teapot = ApiKeyLayer::new(ring()).responder(|rejection| {
        let mut response = Response::new(Bytes::from(rejection.detail().to_uppercase()));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    });
    let router = handlers().layer(teapot.optional());
    let response = ask(&router, "/needs", without_key()).await;
    assert_eq!(response.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(response.body, "API KEY MISSING");
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
}

#[tokio::test]
async fn r18_the_refusal_of_an_extractor_to_grpc_is_trailers_only() {
    let anonymous = handlers().layer(ApiKeyLayer::new(ring()).optional());
    for (router, code) in [(anonymous, "16"), (handlers(), "13")] {
        let request = as_grpc(without_key(), "application/grpc+proto");
        let response = ask(&router, "/needs", request).await;
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.values("grpc-status"), [code]);
        assert_eq!(response.body, "");
    }
}

#[tokio::test]
async fn the_extracted_proof_tells_everything_but_the_digest() {
    let ring = ring();
    let issued = issue(&ring, "read write").await;
    let router = Router::new()
        .route(
            "/",
            get(async |key: VerifiedKey| {
                format!(
                    "{} {} {} {}",
                    key.id(),
                    key.subject(),
                    key.realm(),
                    key.scopes()
                )
            }),
        )
        .layer(ApiKeyLayer::new(ring));
    let response = ask(
        &router,
        "/",
        request([(X_API_KEY, issued.secret().expose())]),
    )
    .await;
    let id = issued.record().id();
    assert_eq!(response.body, format!("{id} alice orders read write"));
}

#[tokio::test]
async fn no_responder_is_asked_about_a_request_that_is_not_refused() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let layer = ApiKeyLayer::new(ring()).optional().responder(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Response::new(Bytes::new())
    });
    let response = ask(&handlers().layer(layer), "/takes", without_key()).await;
    assert_passed(&response, "nobody");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn r14_an_extractor_refuses_head_without_a_body() {
    let mut parts = Request::head("/").body(()).unwrap().into_parts().0;
    let Err(response) =
        <VerifiedKey as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await
    else {
        panic!("nothing has authenticated the request");
    };
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers()["content-length"], "86");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "");
}
