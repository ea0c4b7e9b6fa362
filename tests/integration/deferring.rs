//! A layer that hands its refusal on: what is inside refuses as the layer would have, and what nobody has looked at is not
//! answered.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{Extensions, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower::util::option_layer;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_api_key::store::MemoryStore;
use tower_api_key::testing::Matrix;
use tower_api_key::{
    Access, ApiKeyLayer, EventKind, InvalidCause, KeyRing, RejectionKind, RequireKeyLayer,
    RequireScopeLayer, RouteTable, SameBodyLayer, Source, VerifiedKey,
};

use crate::authenticator::requests;
use crate::events::{Recorder, invalid, rejected};
use crate::sources::x_api_key;
use crate::stores::{Outcome, scripted_ring};
use crate::support::{Inner, ObservedStore, X_API_KEY, issue, key, request, ring, send, with_key};

/// What a layer of the application has found out about the client.
#[derive(Clone)]
struct Session;

fn has_session(extensions: &Extensions) -> bool {
    extensions.get::<Session>().is_some()
}

fn in_session(mut request: Request<()>) -> Request<()> {
    request.extensions_mut().insert(Session);
    request
}

fn key_or_session() -> RequireKeyLayer {
    RequireKeyLayer::new().or(has_session)
}

#[tokio::test]
async fn r25_a_guard_answers_every_request_as_the_layer_does() {
    for store in [ObservedStore::new(), ObservedStore::new().answering_later()] {
        let ring = KeyRing::builder("acme").realm("orders").build(store);
        let ring = ring.unwrap();
        let layer = ApiKeyLayer::new(ring.clone());
        let all = [
            x_api_key(),
            Source::scheme("Token").unwrap(),
            Source::authorization_raw(),
        ];
        let table = RouteTable::builder().get("/", Access::AnyKey);
        let table = table.get("/admin", "admin").build().unwrap();
        let other = KeyRing::builder("beta").build(MemoryStore::new()).unwrap();
        let shouting = layer.clone().responder(|rejection| {
            let mut response = Response::new(Bytes::from(rejection.detail().to_uppercase()));
            *response.status_mut() = rejection.status();
            response
        });
        for layer in [
            layer.clone(),
            layer.clone().sources(all),
            layer.clone().require("read"),
            layer.clone().routes(table),
            layer.clone().or(other),
            layer.forward_credential(),
            shouting,
        ] {
            let recorders = [Recorder::default(), Recorder::default()];
            let [plain, lenient] = recorders.clone().map(|it| layer.clone().observer(it));
            let lenient = lenient.allow_missing_or_failed();
            let inner = Inner::new();
            let plain = plain.layer(Inner::new());
            let guarded = ServiceBuilder::new()
                .layer(lenient)
                .layer(key_or_session())
                .service(inner.clone());
            for request in requests(&ring).await {
                let sent = format!("{request:?}");
                let one = send(&plain, request.clone()).await;
                let other = send(&guarded, request).await;
                assert_eq!(other.status, one.status, "{sent}");
                assert_eq!(other.headers, one.headers, "{sent}");
                assert_eq!(other.body, one.body, "{sent}");
                assert_eq!(other.kind(), one.kind(), "{sent}");
                assert_eq!(recorders[1].take(), recorders[0].take(), "{sent}");
            }
        }
    }
}

#[tokio::test]
async fn r15_extractors_and_guards_refuse_what_was_handed_on() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).allow_missing_or_failed();
    let scoped = get(async || "answered").route_layer(RequireScopeLayer::new("read"));
    let router: Router = Router::new()
        .route("/needs", any(async |_: VerifiedKey| "answered"))
        .route("/takes", any(async |_: Option<VerifiedKey>| "answered"))
        .route("/scoped", scoped)
        .layer(layer);
    for path in ["/needs", "/takes", "/scoped"] {
        for (mut request, kind) in [
            (with_key(&key), None),
            (with_key("nonsense"), Some(RejectionKind::Invalid)),
            (Request::new(()), Some(RejectionKind::Missing)),
        ] {
            *request.uri_mut() = path.parse().unwrap();
            let response = send(&router, request.map(|()| Body::empty())).await;
            assert_eq!(response.kind(), kind, "{path}");
            let status = if kind.is_none() { 200 } else { 401 };
            assert_eq!(response.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn r15_a_handler_that_nobody_guards_gives_no_answer_to_strangers() {
    let ring = ring();
    let valid = key(&ring, "read").await;
    let recorder = Recorder::default();
    let layer = ApiKeyLayer::new(ring)
        .allow_missing_or_failed()
        .observer(recorder.clone());
    for (status, is_sent) in [
        (StatusCode::OK, false),
        (StatusCode::NO_CONTENT, false),
        (StatusCode::SWITCHING_PROTOCOLS, false),
        (StatusCode::SEE_OTHER, true),
        (StatusCode::NOT_FOUND, true),
        (StatusCode::INTERNAL_SERVER_ERROR, true),
    ] {
        let inner = service_fn(move |_: Request<()>| async move {
            let mut response = Response::new(Full::<Bytes>::from("a secret"));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        });
        let service = layer.layer(inner);
        for (request, kind) in [
            (Request::new(()), RejectionKind::Missing),
            (with_key("nonsense"), RejectionKind::Invalid),
        ] {
            let response = send(&service, request).await;
            let expected = if is_sent { None } else { Some(kind) };
            assert_eq!(response.kind(), expected, "{status}");
            assert_eq!(response.body == "a secret", is_sent, "{status}");
            let kinds: Vec<EventKind> = recorder.take().iter().map(|told| told.kind).collect();
            let told = match (kind, is_sent) {
                (RejectionKind::Missing, true) => vec![],
                (RejectionKind::Missing, false) => vec![rejected(kind)],
                _ => vec![invalid(InvalidCause::Malformed)],
            };
            assert_eq!(kinds, told, "{status}");
        }
        assert_eq!(send(&service, with_key(&valid)).await.status, status);
        recorder.take();
    }
}

#[tokio::test]
async fn a_wrong_key_beside_a_session_is_not_final() {
    let ring = ring();
    let dead = issue(&ring, "read").await;
    let reason = tower_api_key::RevocationReason::KeyCompromise;
    ring.revoke(dead.record().id(), reason).await.unwrap();
    let dead = dead.secret().expose();
    let valid = key(&ring, "read").await;
    let recorder = Recorder::default();
    let layer = ApiKeyLayer::new(ring)
        .sources([x_api_key(), Source::bearer()])
        .require("read")
        .allow_missing_or_failed()
        .observer(recorder.clone());
    let inner = Inner::new().with_header(CACHE_CONTROL, "max-age=60");
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(key_or_session())
        .service(inner.clone());
    for (sent, is_proven, is_gone) in [
        (Request::new(()), false, true),
        (with_key(dead), false, true),
        (with_key("nonsense"), false, false),
        (request([(AUTHORIZATION, "Bearer e30.e30.")]), false, false),
        (
            request([(AUTHORIZATION, format!("Bearer {dead}"))]),
            false,
            true,
        ),
        (request([(AUTHORIZATION, "Basic YTpi")]), false, false),
        (with_key(&valid), true, true),
    ] {
        let what = format!("{sent:?}");
        let response = send(&service, in_session(sent)).await;
        assert_eq!(
            (response.status, &*response.body),
            (StatusCode::OK, &b"inner"[..])
        );
        // r26
        assert_eq!(response.values("vary"), ["x-api-key, authorization"]);
        assert_eq!(response.values("cache-control"), ["max-age=60, private"]);
        let seen = inner.last();
        assert_eq!(
            seen.extensions.get::<VerifiedKey>().is_some(),
            is_proven,
            "{what}"
        );
        assert_eq!(seen.headers.is_empty(), is_gone, "{what}");
        let read = seen.headers.values().filter(|it| *it != "Basic YTpi");
        assert!(read.into_iter().all(HeaderValue::is_sensitive), "{what}");
    }
    let kinds: Vec<EventKind> = recorder.take().iter().map(|told| told.kind).collect();
    assert_eq!(
        kinds,
        [
            invalid(InvalidCause::Revoked),
            invalid(InvalidCause::Malformed),
            invalid(InvalidCause::Malformed),
            invalid(InvalidCause::Revoked),
            EventKind::Authenticated,
        ]
    );
}

#[tokio::test]
async fn r05_r09_what_a_request_is_refused_for_at_once_no_session_mends() {
    let ring = ring();
    let valid = key(&ring, "read").await;
    let table = RouteTable::builder().get("/", "read").build().unwrap();
    let layer = ApiKeyLayer::new(ring).allow_missing_or_failed();
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(layer.clone().routes(table))
        .layer(key_or_session())
        .service(inner.clone());
    let to = |uri: &str, mut request: Request<()>| {
        *request.uri_mut() = uri.parse().unwrap();
        request
    };
    for (request, kind) in [
        (
            request([(X_API_KEY, "a"), (X_API_KEY, "b")]),
            RejectionKind::Ambiguous,
        ),
        (request([("x_api_key", "a")]), RejectionKind::Ambiguous),
        (
            to(&format!("/?{valid}"), Request::new(())),
            RejectionKind::KeyInUrl,
        ),
        (
            request([(AUTHORIZATION, &valid)]),
            RejectionKind::KeyMisplaced,
        ),
        (
            to("/unknown", with_key(&valid)),
            RejectionKind::UnknownRoute,
        ),
        // A route that was forgotten is closed for sessions too.
        (to("/unknown", Request::new(())), RejectionKind::Missing),
        (to("/unknown", with_key("nonsense")), RejectionKind::Invalid),
    ] {
        let response = send(&service, in_session(request)).await;
        assert_eq!(response.kind(), Some(kind));
    }
    assert_eq!(inner.calls(), 0);
    assert_eq!(
        send(&service, in_session(Request::new(()))).await.status,
        200
    );
}

#[tokio::test]
async fn r20_a_store_that_fails_leaves_sessions_alone() {
    let (ring, _, store) = scripted_ring();
    let valid = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).allow_missing_or_failed();
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(key_or_session())
        .service(Inner::new());
    store.answer(Outcome::Error);
    assert_eq!(
        send(&service, in_session(with_key(&valid))).await.status,
        200
    );
    let response = send(&service, with_key(&valid)).await;
    assert_eq!(response.kind(), Some(RejectionKind::StoreUnavailable));
    assert_eq!(response.values("retry-after"), ["1"]);
}

#[tokio::test]
async fn r15_a_guard_without_a_layer_lets_no_session_pass() {
    let inner = Inner::new();
    let alone = key_or_session().layer(inner.clone());
    for request in [Request::new(()), in_session(Request::new(()))] {
        let response = send(&alone, request).await;
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.kind(), Some(RejectionKind::NotAuthenticated));
    }
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r11_a_layer_further_in_forgets_what_was_handed_on() {
    let outer = KeyRing::builder("beta").build(MemoryStore::new()).unwrap();
    let outer = ApiKeyLayer::new(outer).allow_missing_or_failed();
    let inner = ring();
    let valid = key(&inner, "read").await;
    let takes = get(async |key: Option<VerifiedKey>| if key.is_some() { "key" } else { "none" });
    let router: Router = Router::new()
        .route("/", takes)
        .layer(ApiKeyLayer::new(inner).optional())
        .layer(outer.sources([Source::bearer()]));
    for (sent, body) in [(Request::new(()), "none"), (with_key(&valid), "key")] {
        let response = send(&router, sent.map(|()| Body::empty())).await;
        assert_eq!(response.body, body);
    }
}

#[tokio::test]
async fn a_stack_that_hands_refusals_on_passes_the_matrix() {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let table = RouteTable::builder()
        .get("/me", Access::AnyKey)
        .get("/orders/{id}", "orders:read")
        .build()
        .unwrap();
    let layer = ApiKeyLayer::new(ring.clone()).routes(table.clone());
    let stack = ServiceBuilder::new()
        .layer(layer.allow_missing_or_failed())
        .layer(key_or_session())
        .service(Inner::new());
    Matrix::new(ring, table)
        .check::<_, (), _>(stack)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_setting_switches_the_layer_of_a_router() {
    let ring = ring();
    let valid = key(&ring, "read").await;
    for is_required in [false, true] {
        let layer = is_required.then(|| SameBodyLayer::new(ApiKeyLayer::new(ring.clone())));
        let proven = get(async |_: VerifiedKey| "proven");
        let router: Router = Router::new()
            .route("/", get(async || "answered"))
            .route("/proven", proven)
            .layer(option_layer(layer));
        let ask = async |path: &str, mut request: Request<()>| {
            *request.uri_mut() = path.parse().unwrap();
            send(&router, request.map(|()| Body::empty())).await
        };
        let without = ask("/", Request::new(())).await;
        assert_eq!(without.status, if is_required { 401 } else { 200 });
        if is_required {
            let detail = br#"{"title":"Unauthorized","status":401,"detail":"API key missing"}"#;
            assert_eq!(without.body, &detail[..]);
        }
        assert_eq!(ask("/", with_key(&valid)).await.body, "answered");
        // Without the layer there is no proof.
        let status = if is_required { 200 } else { 500 };
        assert_eq!(ask("/proven", with_key(&valid)).await.status, status);
    }
}
