//! The decision of a layer as a call: an extractor of axum answers each request as the layer does, and the rules of the
//! layer hold for it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::request::Parts;
use axum::routing::any;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, HeaderMap, REFERER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::MemoryStore;
use tower_api_key::testing::Matrix;
use tower_api_key::{
    Access, ApiKeyLayer, Authenticated, Authenticator, EventKind, Grant, KeyRing, RejectionKind,
    Requirement, ResponseGuardLayer, RevocationReason, RouteTable, Source, StatusProfile,
    VerifiedKey,
};

use crate::events::{Recorder, Told, nameless, rejected};
use crate::sources::x_api_key;
use crate::stores::{Outcome, scripted_ring};
use crate::support::{
    ObservedStore, Whole, X_API_KEY, as_grpc, issue, key, request, ring, send, with_key,
};

/// Handlers behind the layer.
fn behind(layer: &ApiKeyLayer, optional: bool) -> Router {
    let needs = any(async |key: VerifiedKey| key.subject().to_string());
    let takes = any(async |key: Option<VerifiedKey>| {
        key.map_or("nobody".to_owned(), |key| key.subject().to_string())
    });
    let handler = if optional { takes } else { needs };
    let routes = Router::new().route("/", handler.clone());
    routes.route("/{*rest}", handler).layer(layer.clone())
}

/// The same handlers, which authenticate by themselves.
fn calling(layer: &ApiKeyLayer, optional: bool) -> Router {
    let needs = any(async |Authenticated(key): Authenticated| key.subject().to_string());
    let takes = any(async |key: Option<Authenticated>| {
        key.map_or("nobody".to_owned(), |key| key.0.subject().to_string())
    });
    let handler = if optional { takes } else { needs };
    let routes = Router::new().route("/", handler.clone());
    routes
        .route("/{*rest}", handler)
        .layer(ResponseGuardLayer::new())
        .with_state(layer.authenticator())
}

/// Every way to be refused, and to be accepted.
pub(crate) async fn requests(ring: &KeyRing) -> Vec<Request<()>> {
    let valid = key(ring, "read").await;
    let other = key(ring, "other").await;
    let revoked = issue(ring, "read").await;
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(revoked.record().id(), reason).await.unwrap();
    let revoked = revoked.secret().expose().to_owned();
    let to = |uri: &str, mut request: Request<()>| {
        *request.uri_mut() = uri.parse().unwrap();
        request
    };
    let by = |method: &str, mut request: Request<()>| {
        *request.method_mut() = method.parse().unwrap();
        request
    };
    let link = format!("https://example.com/?{valid}");
    let twice = [(X_API_KEY, &valid), (X_API_KEY, &valid)];
    let two_places = [
        (X_API_KEY, valid.clone()),
        (AUTHORIZATION, format!("Token {valid}")),
    ];
    vec![
        Request::new(()),
        with_key(""),
        with_key(&valid),
        with_key(&other),
        with_key(&revoked),
        with_key("nonsense"),
        with_key(&format!("{valid}, {valid}")),
        with_key(&key(&self::ring(), "read").await),
        request([(AUTHORIZATION, format!("token {valid}"))]),
        request([(AUTHORIZATION, valid.clone())]),
        request([(AUTHORIZATION, format!("Bearer {valid}"))]),
        request([(AUTHORIZATION, "Basic YTpi")]),
        request(twice),
        request(two_places),
        request([("x_api_key", &valid)]),
        request([(X_API_KEY, valid.as_str()), (CONNECTION, "x-api-key")]),
        request([(X_API_KEY, &valid), (REFERER, &link)]),
        request([(X_API_KEY, &other), (REFERER, &link)]),
        request([("x-original-uri", &link)]),
        request([("cookie", &format!("key={valid}"))]),
        to(&format!("/orders?key={valid}"), with_key(&valid)),
        to(&format!("/{revoked}"), Request::new(())),
        to("/admin", with_key(&valid)),
        to("/unknown/../orders", with_key(&valid)),
        by("HEAD", Request::new(())),
        by("HEAD", with_key(&valid)),
        by("HEAD", with_key(&revoked)),
        by("OPTIONS", Request::new(())),
        as_grpc(Request::new(()), "application/grpc"),
        as_grpc(with_key(&revoked), "application/grpc+proto"),
        as_grpc(with_key(&other), "application/grpc-web"),
    ]
}

async fn ask(router: &Router, request: Request<()>) -> Whole {
    send(router, request.map(|()| Body::empty())).await
}

/// One implementation: sources, ambiguity, refusals to the byte, caching fields and events (rules 5, 9, 10, 12, 25, 26).
#[tokio::test]
async fn a_call_answers_every_request_as_the_layer_does() {
    let stores = [ObservedStore::new(), ObservedStore::new().answering_later()];
    let table = RouteTable::builder()
        .get("/", Access::AnyKey)
        .get("/orders", Access::Public)
        .get("/admin", "admin");
    let table = table.build().unwrap();
    for store in stores {
        let ring = KeyRing::builder("acme").realm("orders").build(store);
        let ring = ring.unwrap();
        let layer = ApiKeyLayer::new(ring.clone());
        let token = || Source::scheme("Token").unwrap();
        let all = [x_api_key(), token(), Source::authorization_raw()];
        let other = KeyRing::builder("beta").build(MemoryStore::new()).unwrap();
        let shouting = layer.clone().responder(|rejection| {
            let mut response = Response::new(Bytes::from(rejection.detail().to_uppercase()));
            *response.status_mut() = rejection.status();
            response
        });
        for (place, layer) in [
            layer.clone(),
            layer.clone().sources([x_api_key(), token()]),
            layer.clone().sources(all.clone()),
            layer.clone().sources([]),
            layer.clone().require("read"),
            layer.clone().optional(),
            layer.clone().sources(all).optional(),
            layer.clone().routes(table.clone()),
            layer.clone().or(other),
            layer.clone().profile(StatusProfile::AwsGateway),
            layer.forward_credential(),
            shouting.clone(),
            shouting.require("read").optional(),
        ]
        .into_iter()
        .enumerate()
        {
            for optional in [false, true] {
                let recorders = [Recorder::default(), Recorder::default()];
                let layers = recorders.clone().map(|it| layer.clone().observer(it));
                let stacks = [behind(&layers[0], optional), calling(&layers[1], optional)];
                for request in requests(&ring).await {
                    let sent = format!("{place} {optional} {request:?}");
                    let one = ask(&stacks[0], request.clone()).await;
                    let other = ask(&stacks[1], request).await;
                    assert_eq!(other.status, one.status, "{sent}");
                    assert_eq!(other.headers, one.headers, "{sent}");
                    assert_eq!(other.body, one.body, "{sent}");
                    let rejections = [one, other].map(|it| format!("{:?}", it.rejection));
                    assert_eq!(rejections[1], rejections[0], "{sent}");
                    assert_eq!(recorders[1].take(), recorders[0].take(), "{sent}");
                }
            }
        }
    }
}

#[tokio::test]
async fn r20_a_store_that_fails_is_a_503() {
    let (ring, _, store) = scripted_ring();
    let key = key(&ring, "read").await;
    let router = calling(&ApiKeyLayer::new(ring), false);
    for outcome in [Outcome::Error, Outcome::Panic] {
        store.answer(outcome);
        let response = ask(&router, with_key(&key)).await;
        assert_eq!(response.kind(), Some(RejectionKind::StoreUnavailable));
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.values("retry-after"), ["1"]);
    }
}

#[tokio::test]
async fn r26_without_the_guard_of_responses_no_request_is_authenticated() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let recorder = Recorder::default();
    let layer = ApiKeyLayer::new(ring).observer(recorder.clone());
    let route = || Router::new().route("/", any(async |key: Authenticated| key.0.id().to_string()));
    for layer in [layer.clone(), layer.clone().optional()] {
        let bare: Router = route().with_state(layer.authenticator());
        for request in [with_key(&key), Request::new(())] {
            let response = ask(&bare, request).await;
            assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(response.kind(), Some(RejectionKind::NotAuthenticated));
            let told = nameless(rejected(RejectionKind::NotAuthenticated), None);
            assert_eq!(recorder.take(), [told]);
        }
    }

    let unguarded = layer.danger_without_cache_guard();
    let bare: Router = route().with_state(unguarded.authenticator());
    let response = ask(&bare, with_key(&key)).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.values("vary"), [""; 0]);
    let kinds: Vec<EventKind> = recorder.take().iter().map(|told| told.kind).collect();
    assert_eq!(kinds, [EventKind::Authenticated]);
}

/// An application that goes on after a refusal, by a session of its own.
#[tokio::test]
async fn r26_a_response_after_a_refusal_is_guarded_too() {
    let ring = ring();
    let dead = issue(&ring, "read").await;
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(dead.record().id(), reason).await.unwrap();
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let authenticator = ApiKeyLayer::new(ring)
        .sources([x_api_key(), Source::bearer()])
        .authenticator();
    let in_handler = seen.clone();
    let lenient = service_fn(move |request: Request<()>| {
        let (authenticator, seen) = (authenticator.clone(), in_handler.clone());
        async move {
            let mut parts = request.into_parts().0;
            assert!(authenticator.authenticate(&mut parts).await.is_err());
            assert!(parts.extensions.get::<VerifiedKey>().is_none());
            *seen.lock().unwrap() = parts.headers;
            let mut response = Response::new(Full::<Bytes>::from("by a session"));
            let for_a_minute = HeaderValue::from_static("max-age=60");
            response.headers_mut().insert(CACHE_CONTROL, for_a_minute);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let service = ResponseGuardLayer::new().layer(lenient);
    let dead = dead.secret().expose();
    for (presented, is_gone) in [
        (request([(X_API_KEY, dead)]), true),
        (request([(AUTHORIZATION, format!("Bearer {dead}"))]), true),
        (request([(X_API_KEY, dead), (X_API_KEY, "a")]), true),
        // A token of another party is not for this layer to take.
        (request([(AUTHORIZATION, "Bearer e30.e30.")]), false),
    ] {
        let response = send(&service, presented).await;
        assert_eq!(response.body, "by a session");
        assert_eq!(response.values("vary"), ["x-api-key, authorization"]);
        assert_eq!(response.values("cache-control"), ["max-age=60, private"]);
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(seen.is_empty(), is_gone, "{seen:?}");
        assert!(seen.values().all(HeaderValue::is_sensitive), "{seen:?}");
    }
}

#[derive(Clone)]
struct App {
    customers: Authenticator,
}

impl FromRef<App> for Authenticator {
    fn from_ref(app: &App) -> Self {
        app.customers.clone()
    }
}

#[tokio::test]
async fn r06_the_credential_is_gone_after_the_extractor_and_a_second_one_agrees() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let recorder = Recorder::default();
    let layer = ApiKeyLayer::new(ring).observer(recorder.clone());
    let customers = layer.authenticator();
    let twice = async |Authenticated(one): Authenticated,
                       Authenticated(two): Authenticated,
                       three: VerifiedKey,
                       headers: HeaderMap| {
        assert!(!headers.contains_key(X_API_KEY));
        assert!(one.id() == two.id() && two.id() == three.id());
        let write = Requirement::scope("write").unwrap();
        three.require(&write).unwrap_err()
    };
    let router: Router = Router::new()
        .route("/", any(twice))
        .layer(ResponseGuardLayer::new())
        .with_state(App { customers });
    let response = ask(&router, with_key(&key)).await;
    assert_eq!(response.kind(), Some(RejectionKind::InsufficientScope));
    let kinds: Vec<EventKind> = recorder.take().iter().map(|it: &Told| it.kind).collect();
    assert_eq!(kinds, [rejected(RejectionKind::InsufficientScope)], "once");
}

#[tokio::test]
async fn r11_nothing_that_was_planted_counts() {
    let (ring, other) = (ring(), KeyRing::builder("beta").build(MemoryStore::new()));
    let other = other.unwrap();
    let planted = other.issue(Grant::new("mallory")).await.unwrap();
    let planted = other.verify(planted.secret().expose().as_bytes()).await;
    let planted = planted.unwrap();
    let authenticator = ApiKeyLayer::new(ring.clone()).optional().authenticator();
    let valid = key(&ring, "read").await;

    let kept = Arc::new(Mutex::new(None::<Parts>));
    let (of_handler, in_handler) = (authenticator.clone(), kept.clone());
    let inner = service_fn(move |request: Request<()>| {
        let (authenticator, kept) = (of_handler.clone(), in_handler.clone());
        async move {
            let mut parts = request.into_parts().0;
            let found = authenticator.authenticate_if_presented(&mut parts).await;
            let found = found.unwrap();
            assert_eq!(
                parts.extensions.get::<VerifiedKey>().is_some(),
                found.is_some()
            );
            *kept.lock().unwrap() = Some(parts);
            let subject = found.map_or("nobody".to_owned(), |key| key.subject().to_string());
            Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(subject)))
        }
    });
    let service = ResponseGuardLayer::new().layer(inner);

    let mut request = Request::new(());
    request.extensions_mut().insert(planted);
    assert_eq!(send(&service, request).await.body, "nobody");

    // The extensions of an authenticated request make no other one authenticated.
    assert_eq!(send(&service, with_key(&valid)).await.body, "alice");
    let parts = kept.lock().unwrap().take().unwrap();
    let copied = Request::from_parts(parts, ());
    assert_eq!(send(&service, copied).await.body, "nobody");

    // Nor do they in a request that a handler makes of its own one.
    let in_handler = service.clone();
    let outer = service_fn(move |request: Request<()>| {
        let (authenticator, service) = (authenticator.clone(), in_handler.clone());
        async move {
            let mut parts = request.into_parts().0;
            authenticator.authenticate(&mut parts).await.unwrap();
            service.oneshot(Request::from_parts(parts, ())).await
        }
    });
    let outer = ResponseGuardLayer::new().layer(outer);
    assert_eq!(send(&outer, with_key(&valid)).await.body, "nobody");
}

#[tokio::test]
async fn a_router_of_extractors_passes_the_matrix() {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let table = RouteTable::builder()
        .get("/health", Access::Public)
        .get("/me", Access::AnyKey)
        .get("/orders/{id}", "orders:read")
        .build()
        .unwrap();
    let sources = [
        x_api_key(),
        Source::scheme("Token").unwrap(),
        Source::authorization_raw(),
    ];
    let layer = ApiKeyLayer::new(ring.clone())
        .sources(sources.clone())
        .routes(table.clone());
    let handler = || axum::routing::get(async |_: Option<Authenticated>| "answered");
    let router: Router = Router::new()
        .route("/health", handler())
        .route("/me", handler())
        .route("/orders/{id}", handler())
        .layer(ResponseGuardLayer::new())
        .with_state(layer.authenticator());
    let matrix = Matrix::new(ring, table).sources(sources);
    let service = router.into_service::<Body>();
    matrix.check(service.clone()).await.unwrap();
    let response = service.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
