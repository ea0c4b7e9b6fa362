//! Tables of routes: what they admit, refuse and report, and which tables do not build.

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "axum")]
mod differential;

use std::sync::{Arc, Mutex};

use http::{Method, Request, StatusCode};
use tower::Layer;
use tower_api_key::guard::routes::{Route, RouteTableBuilder};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    Access, ApiKeyLayer, ErrorKind, Event, EventKind, KeyRing, RejectionKind, Requirement,
    RouteTable, observer_fn,
};

use crate::support::{Inner, ObservedStore, Whole, key, ring, send, with_key};

fn table() -> RouteTable {
    RouteTable::builder()
        .get("/health", Access::Public)
        .get("/me", Access::AnyKey)
        .get("/orders/{id}", "orders:read")
        .delete("/orders/{id}", "orders:write")
        .route(Method::OPTIONS, "/orders/{id}", Access::Public)
        .get("/orders/latest", "latest")
        .route(Method::HEAD, "/orders/latest", Access::AnyKey)
        .any_method("/files/{*path}", "files")
        .put("/files/{*path}", "files:write")
        .build()
        .unwrap()
}

fn at<B>(method: &str, target: &str, mut request: Request<B>) -> Request<B> {
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = target.parse().unwrap();
    request
}

/// Whether a request passed, or why it was refused: the kind, and the requirement that is not met.
type Verdict = Option<(RejectionKind, Option<String>)>;

fn refused(response: &Whole) -> Verdict {
    let rejection = response.rejection.as_ref()?;
    let unmet = rejection.requirement().map(Requirement::to_string);
    Some((rejection.kind(), unmet))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with what is refused"
)]
fn lacking(requirement: &str) -> Verdict {
    let kind = RejectionKind::InsufficientScope;
    Some((kind, Some(requirement.to_owned())))
}

const UNKNOWN: Verdict = Some((RejectionKind::UnknownRoute, None));

#[tokio::test]
async fn r13_a_route_asks_for_what_the_table_says_and_no_other_route_is_reached() {
    let ring = ring();
    let (nobody, all) = (
        key(&ring, "").await,
        "orders:read orders:write latest files files:write",
    );
    let everything = key(&ring, all).await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).routes(table()).layer(inner.clone());
    for (method, target, to_nobody) in [
        ("GET", "/health", None),
        ("GET", "/me", None),
        ("GET", "/me?page=2", None),
        ("GET", "http://api.example.com/me", None),
        ("GET", "/orders/42", lacking("orders:read")),
        ("HEAD", "/orders/42", lacking("orders:read")),
        ("DELETE", "/orders/42", lacking("orders:write")),
        ("OPTIONS", "/orders/42", None),
        ("GET", "/orders/latest", lacking("latest")),
        ("HEAD", "/orders/latest", None),
        ("GET", "/files/a/b.txt", lacking("files")),
        ("HEAD", "/files/a/b.txt", lacking("files")),
        ("TRACE", "/files/a", lacking("files")),
        ("PUT", "/files/a", lacking("files:write")),
    ] {
        let before = inner.calls();
        let response = send(&service, at(method, target, with_key(&nobody))).await;
        assert_eq!(refused(&response), to_nobody, "{method} {target}");
        let passed = usize::from(to_nobody.is_none());
        assert_eq!(inner.calls(), before + passed, "{method} {target}");

        let response = send(&service, at(method, target, with_key(&everything))).await;
        assert_eq!(refused(&response), None, "{method} {target}");
        assert_eq!(inner.calls(), before + passed + 1, "{method} {target}");
    }
}

#[tokio::test]
async fn r13_a_path_that_is_not_canonical_is_never_passed_on() {
    let ring = ring();
    let everything = key(&ring, "a files files:write").await;
    let table = RouteTable::builder()
        .any_method("/", Access::Public)
        .any_method("/{*rest}", Access::Public)
        .build()
        .unwrap();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).routes(table).layer(inner.clone());
    for target in [
        "//",
        "//admin",
        "/a//b",
        "/a//",
        "/./admin",
        "/../admin",
        "/a/..",
        "/a/../admin",
        "/a/.",
        "/open/..%2fadmin",
        "/open%2f..%2fadmin",
        "/open/%2e%2e/admin",
        "/%2E%2E/admin",
        "/%61dmin",
        "/admin%00",
        "/admin%0a",
        "/admin;a=b",
        "/open;/admin",
        "/open/..;/admin",
        "/a%3bb",
        "/a%5cb",
        "/open\\..\\admin",
        "/%zz",
        "/%",
        "*",
        "http://a.example@b.example/admin",
        "http://b.example//admin",
    ] {
        let Ok(target) = target.parse() else { continue };
        for (request, kind) in [
            (with_key(&everything), RejectionKind::UnknownRoute),
            (Request::new(()), RejectionKind::Missing),
        ] {
            let mut request = request;
            *request.uri_mut() = http::Uri::clone(&target);
            let response = send(&service, request).await;
            assert_eq!(response.kind(), Some(kind), "{target}");
        }
    }
    assert_eq!(inner.calls(), 0);
    let response = send(&service, at("GET", "/admin", Request::new(()))).await;
    assert_eq!(response.status, StatusCode::OK);
}

/// A service that decodes a path before it routes takes the other route.
#[tokio::test]
async fn r13_an_encoded_character_takes_the_access_of_no_other_pattern() {
    let ring = ring();
    let files = key(&ring, "files").await;
    let table = RouteTable::builder()
        .post("/v1/things:purge", "admin")
        .post("/v1/{name}", "files")
        .post("/v1/caf%C3%A9", "admin")
        .any_method("/tags/{*rest}", "files")
        .any_method("/tags/@me/{*rest}", "admin")
        .build()
        .unwrap();
    let service = ApiKeyLayer::new(ring).routes(table).layer(Inner::new());
    for (target, verdict) in [
        ("/v1/things:purge", lacking("admin")),
        ("/v1/things%3Apurge", UNKNOWN),
        ("/v1/things%3apurge", UNKNOWN),
        ("/v1/caf%C3%A9", lacking("admin")),
        ("/v1/caf%c3%a9", UNKNOWN),
        ("/tags/%40me/a", UNKNOWN),
        ("/tags/@me/%40a", lacking("admin")),
        // As clients encode the value of a parameter.
        ("/v1/a%3Ab%40c%2Cd", None),
        ("/v1/a%3ab", None),
        ("/v1/things%3Apurged", None),
        ("/v1/th%C3%A9", None),
        ("/v1/th%c3%a9", None),
        ("/tags/a/%40me/b%20c", None),
    ] {
        let response = send(&service, at("POST", target, with_key(&files))).await;
        assert_eq!(refused(&response), verdict, "{target}");
    }
}

#[tokio::test]
async fn r13_a_route_that_is_not_named_is_refused_and_the_observers_hear_it() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let observer = || {
        let heard = Arc::clone(&heard);
        observer_fn(move |event: &Event<'_>| {
            heard.lock().unwrap().push((event.kind(), event.key_id()));
        })
    };
    let ring = KeyRing::builder("acme")
        .observer(observer())
        .build(MemoryStore::new())
        .unwrap();
    let key = crate::support::issue(&ring, "orders:read").await;
    heard.lock().unwrap().clear();
    let inner = Inner::new();
    let layer = ApiKeyLayer::new(ring).routes(table()).observer(observer());
    let service = layer.layer(inner.clone());
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/orders"),
        ("GET", "/orders/"),
        ("GET", "/orders/42/"),
        ("GET", "/orders/42/items"),
        ("GET", "/Orders/42"),
        ("GET", "/health/"),
        ("POST", "/health"),
        ("PUT", "/orders/42"),
        ("GET", "/files"),
        ("GET", "/files/"),
        ("get", "/health"),
        ("PROPFIND", "/files/a"),
        ("CONNECT", "/files/a"),
    ] {
        let request = at(method, target, with_key(key.secret().expose()));
        let response = send(&service, request).await;
        assert_eq!(refused(&response), UNKNOWN, "{method} {target}");
        assert_eq!(response.status, StatusCode::FORBIDDEN, "{method} {target}");
        assert_eq!(
            response.json()["detail"],
            "Unknown route",
            "{method} {target}"
        );
        let kind = EventKind::Rejected {
            kind: RejectionKind::UnknownRoute,
            cause: None,
        };
        let told = (kind, Some(key.record().id()));
        assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), [told, told]);
    }
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r14_a_method_override_changes_no_route() {
    let ring = ring();
    let reader = key(&ring, "orders:read").await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).routes(table()).layer(inner.clone());
    for header in [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
    ] {
        let mut request = at("DELETE", "/orders/42", with_key(&reader));
        request.headers_mut().insert(header, "GET".parse().unwrap());
        assert_eq!(
            refused(&send(&service, request).await),
            lacking("orders:write")
        );
    }
    let target = "/orders/42?_method=GET";
    let response = send(&service, at("DELETE", target, with_key(&reader))).await;
    assert_eq!(refused(&response), lacking("orders:write"));
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn a_public_route_needs_no_key_and_refuses_a_wrong_one() {
    let ring = ring();
    let valid = key(&ring, "").await;
    // Whether the layer is optional is no matter: the table decides.
    for layer in [
        ApiKeyLayer::new(ring.clone()),
        ApiKeyLayer::new(ring.clone()).optional(),
    ] {
        let inner = Inner::new();
        let service = layer.routes(table()).layer(inner.clone());
        for (request, status) in [
            (at("GET", "/health", Request::new(())), StatusCode::OK),
            (at("GET", "/health", with_key(&valid)), StatusCode::OK),
            (at("HEAD", "/health", Request::new(())), StatusCode::OK),
            (at("OPTIONS", "/orders/1", Request::new(())), StatusCode::OK),
        ] {
            assert_eq!(send(&service, request).await.status, status);
        }
        assert_eq!(inner.calls(), 4);
        let wrong = at("GET", "/health", with_key("acme_nonsense"));
        assert_eq!(
            send(&service, wrong).await.kind(),
            Some(RejectionKind::Invalid)
        );
        // A stranger does not learn which of these is named.
        let mut bodies = Vec::new();
        for (method, target) in [
            ("GET", "/me"),
            ("GET", "/orders/42"),
            ("GET", "/orders/latest"),
            ("GET", "/nothing"),
            ("PUT", "/orders/42"),
            ("GET", "/health/../me"),
        ] {
            let response = send(&service, at(method, target, Request::new(()))).await;
            assert_eq!(
                response.kind(),
                Some(RejectionKind::Missing),
                "{method} {target}"
            );
            bodies.push((response.status, response.headers, response.body));
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1);
        assert_eq!(inner.calls(), 4);
    }
}

#[tokio::test]
async fn a_requirement_of_the_layer_holds_for_every_route() {
    let ring = ring();
    let inner = Inner::new();
    let layer = ApiKeyLayer::new(ring.clone())
        .require("api")
        .routes(table());
    let service = layer.layer(inner.clone());
    let response = send(&service, at("GET", "/health", Request::new(()))).await;
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    for (held, target, expected) in [
        ("orders:read", "/orders/42", lacking("api")),
        ("orders:read", "/health", lacking("api")),
        ("api", "/orders/42", lacking("orders:read")),
        ("api", "/health", None),
        ("api", "/nothing", UNKNOWN),
        ("api orders:read", "/orders/42", None),
    ] {
        let key = key(&ring, held).await;
        let response = send(&service, at("GET", target, with_key(&key))).await;
        assert_eq!(refused(&response), expected, "{held} {target}");
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test]
async fn a_table_holds_for_every_ring_and_for_a_store_that_answers_later() {
    for store in [ObservedStore::new(), ObservedStore::new().answering_later()] {
        let late = KeyRing::builder("acme").build(store).unwrap();
        let other = MemoryStore::new();
        let other = KeyRing::builder("beta").build(other).unwrap();
        let keys = [
            key(&late, "orders:read").await,
            key(&other, "orders:read").await,
        ];
        let inner = Inner::new();
        let layer = ApiKeyLayer::new(late.clone())
            .or(other.clone())
            .routes(table());
        let service = layer.layer(inner.clone());
        for key in &keys {
            for (method, target, expected) in [
                ("GET", "/orders/42", None),
                ("DELETE", "/orders/42", lacking("orders:write")),
                ("GET", "/nothing", UNKNOWN),
            ] {
                let response = send(&service, at(method, target, with_key(key))).await;
                assert_eq!(refused(&response), expected, "{method} {target}");
            }
        }
        assert_eq!(inner.calls(), 2);
    }
}

#[tokio::test]
async fn the_layers_responder_answers_for_the_table() {
    let ring = ring();
    let key = key(&ring, "").await;
    let layer = ApiKeyLayer::new(ring)
        .routes(table())
        .responder(|rejection| {
            let mut response = http::Response::new(format!("no: {}", rejection.detail()).into());
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        });
    let service = layer.layer(Inner::new());
    for (target, body) in [
        ("/nothing", "no: Unknown route"),
        ("/orders/42", "no: Insufficient scope: expected orders:read"),
    ] {
        let response = send(&service, at("GET", target, with_key(&key))).await;
        assert_eq!(response.status, StatusCode::IM_A_TEAPOT);
        assert_eq!(response.body, body);
    }
}

#[test]
fn a_table_finds_what_a_layer_does() {
    let table = table();
    let find = |method: Method, target: &str| {
        let route = table.find(&method, &target.parse().unwrap());
        route.map(ToString::to_string)
    };
    assert_eq!(
        find(Method::GET, "/orders/latest").unwrap(),
        "GET /orders/latest: latest"
    );
    assert_eq!(
        find(Method::GET, "/orders/42").unwrap(),
        "GET /orders/{id}: orders:read"
    );
    assert_eq!(
        find(Method::POST, "/files/a/b").unwrap(),
        "* /files/{*path}: files"
    );
    assert_eq!(find(Method::POST, "/files/a/../b"), None);
    let patterns: Vec<_> = table.routes().iter().map(Route::pattern).collect();
    assert_eq!(patterns[..3], ["/health", "/me", "/orders/{id}"]);
    let all = Requirement::all(["a", "b"]).unwrap();
    let nested = RouteTable::builder()
        .put("/a", all.clone())
        .build()
        .unwrap();
    assert_eq!(nested.routes()[0].access(), &Access::Scopes(all));
}

#[test]
fn a_route_that_cannot_be_does_not_build_and_is_named() {
    let start = || RouteTable::builder().get("/orders/{id}", "orders:read");
    let twice = start().get("/orders/{id}", "orders:read");
    let clash = start().post("/orders/{number}", "orders:write");
    let rest = start().get("/orders/{*rest}", "orders:read");
    let method = start().route(Method::from_bytes(b"get").unwrap(), "/a", Access::Public);
    let connect = start().route(Method::CONNECT, "/a", Access::Public);
    let dots = start().get("/a/../b", "a");
    let scope = start().get("/a", "two scopes");
    let any_twice = start().any_method("/a", "a").any_method("/a", "a");
    let grpc = start().grpc("shop.Orders/List", "List", "a");
    let of_grpc = "no names of a gRPC service and its method";
    let methods =
        "a table knows the methods GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH and TRACE";
    let cases: [(RouteTableBuilder, String); 9] = [
        (twice, "GET /orders/{id}: it is named twice".to_owned()),
        (clash, "POST /orders/{number}: it clashes with /orders/{id}".to_owned()),
        (rest, "GET /orders/{*rest}: it clashes with /orders/{id}".to_owned()),
        (method, format!("get /a: {methods}")),
        (connect, format!("CONNECT /a: {methods}")),
        (
            dots,
            "GET /a/../b: no request can match: a path starts with /, and has no empty segment, ., .., ; and no needless percent-encoding".to_owned(),
        ),
        (
            scope,
            "GET /a: invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\".to_owned(),
        ),
        (any_twice, "any method of /a: it is named twice".to_owned()),
        (grpc, format!("POST /shop.Orders/List/List: {of_grpc}")),
    ];
    for (builder, problem) in cases {
        // Further routes change nothing about the first error.
        let error = builder.get("no pattern", "a").build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRoute);
        assert_eq!(error.to_string(), format!("invalid route {problem}"));
    }
}

/// The same spellings in a pattern and in a path, and the same methods in a route and in a request.
#[tokio::test]
async fn r13_bad_input_is_refused_at_build_with_its_place_or_at_run_time_by_the_table() {
    let ring = ring();
    let (everything, inner) = (key(&ring, "a").await, Inner::new());
    let open = RouteTable::builder().get("/{*rest}", Access::Public);
    let layer = ApiKeyLayer::new(ring).routes(open.build().unwrap());
    let service = layer.layer(inner.clone());
    let unreachable = "no request can match: a path starts with /, and has no empty segment, ., .., ; and no needless percent-encoding";
    for path in [
        "/a/../b", "/a//b", "//a", "/a%2fb", "/a%2Fb", "/a;b", "/a/./b",
    ] {
        let table = RouteTable::builder().get("/c", "a").get(path, "a");
        let error = table.build().unwrap_err();
        let said = format!("invalid route GET {path}: {unreachable}");
        assert_eq!(error.to_string(), said);
        let response = send(&service, at("GET", path, with_key(&everything))).await;
        assert_eq!(refused(&response), UNKNOWN, "{path}");
    }
    for method in ["CONNECT", "PURGE", "get"] {
        let name = Method::from_bytes(method.as_bytes()).unwrap();
        let error = RouteTable::builder().route(name, "/a", "a").build();
        let said = error.unwrap_err().to_string();
        let start = format!("invalid route {method} /a: a table knows the methods ");
        assert!(said.starts_with(&start), "{said}");
        let response = send(&service, at(method, "/a", with_key(&everything))).await;
        assert_eq!(refused(&response), UNKNOWN, "{method}");
    }
    assert_eq!(inner.calls(), 0);
    let clash = RouteTable::builder()
        .get("/a/{*rest}", "a")
        .get("/a/{b}", "a");
    let said = clash.build().unwrap_err().to_string();
    assert_eq!(said, "invalid route GET /a/{b}: it clashes with /a/{*rest}");
}
