//! Routes of axum with their handlers.

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use http::{Method, Request, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, ServiceExt};
use tower_api_key::guard::routes::Routes;
use tower_api_key::{Access, ApiKeyLayer, KeyRing, RejectionKind, RouteTable, VerifiedKey};

use super::{UNKNOWN, at, lacking, refused};
use crate::support::{key, ring, send, with_key};

fn with_body(request: Request<()>) -> Request<Body> {
    request.map(|()| Body::empty())
}

#[tokio::test]
async fn r13_nested_and_merged_routes_have_the_patterns_of_the_whole_router() {
    let ring = ring();
    let items = Routes::new()
        .get("/", "items", async |path: Path<(String, String)>| {
            format!("{path:?}")
        })
        .post("/{item}", "items:write", async || "posted");
    let orders = Routes::new()
        .get("/", "orders", async || "orders")
        .nest("/{id}/items", items);
    let admin = Routes::new().any_method("/admin/{*rest}", "admin", async || "admin");
    let (router, table) = Routes::new()
        .get(
            "/health",
            Access::Public,
            async |key: Option<VerifiedKey>| {
                key.map_or("stranger".to_owned(), |key| key.subject().to_string())
            },
        )
        .nest("/{tenant}/orders", orders)
        .merge(admin)
        .build(ApiKeyLayer::new(ring.clone()))
        .unwrap();
    let router: Router = router;
    let named: Vec<String> = table.routes().iter().map(ToString::to_string).collect();
    assert_eq!(
        named,
        [
            "GET /health: public",
            "GET /{tenant}/orders: orders",
            "GET /{tenant}/orders/{id}/items: items",
            "POST /{tenant}/orders/{id}/items/{item}: items:write",
            "* /admin/{*rest}: admin",
        ]
    );
    let nobody = key(&ring, "").await;
    let everything = key(&ring, "items items:write orders admin").await;
    for (method, target, unmet, body) in [
        ("GET", "/health", None, "alice"),
        ("GET", "/acme/orders", lacking("orders"), "orders"),
        (
            "GET",
            "/acme/orders/4/items",
            lacking("items"),
            "Path((\"acme\", \"4\"))",
        ),
        (
            "POST",
            "/acme/orders/4/items/7",
            lacking("items:write"),
            "posted",
        ),
        ("PATCH", "/admin/a/b", lacking("admin"), "admin"),
    ] {
        let request = with_body(at(method, target, with_key(&nobody)));
        assert_eq!(
            refused(&send(&router, request).await),
            unmet,
            "{method} {target}"
        );
        let request = with_body(at(method, target, with_key(&everything)));
        let response = send(&router, request).await;
        assert_eq!(response.body, body, "{method} {target}");
    }
    let anonymous = with_body(at("GET", "/health", Request::new(())));
    assert_eq!(send(&router, anonymous).await.body, "stranger");
    for (method, target) in [
        ("GET", "/acme/orders/"),
        ("GET", "/../orders"),
        ("GET", "/acme/orders/../items"),
        ("GET", "/a%2fb/orders"),
        ("GET", "/admin/a/../b"),
        ("PUT", "/acme/orders"),
        ("PROPFIND", "/admin/a"),
        ("GET", "/nothing"),
    ] {
        let request = with_body(at(method, target, with_key(&everything)));
        let response = send(&router, request).await;
        assert_eq!(
            response.kind(),
            Some(RejectionKind::UnknownRoute),
            "{method} {target}"
        );
    }
}

#[tokio::test]
async fn a_router_keeps_its_state_layers_and_services() {
    async fn tagged(request: axum::extract::Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        response
            .headers_mut()
            .insert("x-seen", "1".parse().unwrap());
        response
    }
    let ring = ring();
    let files = tower::service_fn(async |request: axum::extract::Request| {
        let path = request.uri().path().to_owned();
        Ok::<_, std::convert::Infallible>(Response::new(Body::from(path)))
    });
    let (router, _) = Routes::new()
        .get(
            "/state",
            Access::AnyKey,
            async |State(state): State<&'static str>| state,
        )
        .layer(from_fn(tagged))
        .service("/files/{*path}", Access::AnyKey, files)
        .build(ApiKeyLayer::new(ring.clone()))
        .unwrap();
    let router: Router = router.with_state("a state");
    let key = key(&ring, "").await;
    for (target, body, seen) in [("/state", "a state", true), ("/files/a", "/files/a", false)] {
        let response = send(&router, with_body(at("GET", target, with_key(&key)))).await;
        assert_eq!(response.body, body);
        assert_eq!(response.headers.contains_key("x-seen"), seen);
        // The layer sees no request that is refused.
        let response = send(&router, with_body(at("GET", target, Request::new(())))).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        assert!(!response.headers.contains_key("x-seen"));
    }
}

#[test]
fn routes_that_axum_would_panic_at_do_not_build() {
    let handler = async || "";
    let nested = || Routes::<()>::new().get("/a", "a", handler);
    let prefix =
        "a prefix is a pattern that is not /, without a slash at its end and without {*rest}";
    for (routes, problem) in [
        (nested().get("/a", "b", handler), "GET /a: it is named twice".to_owned()),
        (nested().merge(nested()), "GET /a: it is named twice".to_owned()),
        (
            nested().get("/{a}", "a", handler).nest("/{b}", nested().get("/", "a", handler)),
            "GET /{b}: it clashes with /{a}".to_owned(),
        ),
        (Routes::new().nest("/", nested()), format!("any method of /: {prefix}")),
        (Routes::new().nest("", nested()), format!("any method of : {prefix}")),
        (Routes::new().nest("/a/", nested()), format!("any method of /a/: {prefix}")),
        (Routes::new().nest("/{*a}", nested()), format!("any method of /{{*a}}: {prefix}")),
        (
            Routes::new().route(Method::from_bytes(b"PURGE").unwrap(), "/a", "a", handler),
            "PURGE /a: a table knows the methods GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH and TRACE".to_owned(),
        ),
        (
            Routes::new().get("", "a", handler),
            "GET : no request can match: a path starts with /, and has no empty segment, ., .., ; and no needless percent-encoding".to_owned(),
        ),
    ] {
        // Nothing after the first error reaches axum.
        let routes = routes.get("no path", "a", handler).merge(nested()).nest("//", nested());
        let error = routes.build(ApiKeyLayer::new(ring())).unwrap_err();
        assert_eq!(error.to_string(), format!("invalid route {problem}"));
    }
}

/// The layer stands in a nested router, which has stripped the prefix. The pattern that the whole router has
/// matched counts, and the whole path is canonical.
#[tokio::test]
async fn r13_the_pattern_that_the_router_has_matched_counts() {
    let ring = ring();
    let table = RouteTable::builder()
        .get("/{tenant}/orders", "orders")
        .get("/orders", Access::Public)
        .build()
        .unwrap();
    let nested = Router::new()
        .route(
            "/orders",
            axum::routing::get(async |OriginalUri(uri): OriginalUri| uri.to_string()),
        )
        .layer(ApiKeyLayer::new(ring.clone()).routes(table.clone()));
    let router: Router = Router::new().nest("/{tenant}", nested);
    let key = key(&ring, "orders").await;
    let response = send(
        &router,
        with_body(at("GET", "/acme/orders", with_key(&key))),
    )
    .await;
    assert_eq!(response.body, "/acme/orders");
    let response = send(
        &router,
        with_body(at("GET", "/acme/orders", Request::new(()))),
    )
    .await;
    assert_eq!(
        response.kind(),
        Some(RejectionKind::Missing),
        "not the public one"
    );
    let response = send(&router, with_body(at("GET", "/../orders", with_key(&key)))).await;
    assert_eq!(response.kind(), Some(RejectionKind::UnknownRoute));

    // Outside a router the path is matched.
    let outside = ApiKeyLayer::new(ring).routes(table).layer(router);
    let request = with_body(at("GET", "/acme/orders", Request::new(())));
    let response = outside.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

/// A router with these routes in a router for each tenant, whose layer has this table.
fn nested(ring: &KeyRing, table: RouteTable, routes: &[(&str, &'static str)]) -> Router {
    let mut nested = Router::new();
    for (pattern, body) in routes {
        let body = *body;
        nested = nested.route(pattern, any(async move || body));
    }
    let nested = nested.layer(ApiKeyLayer::new(ring.clone()).routes(table));
    Router::new().nest("/{tenant}", nested)
}

/// What is left of the path after `nest` looks as another route.
#[tokio::test]
async fn r13_the_rest_of_a_path_is_matched_in_the_whole_path() {
    let ring = ring();
    let table = RouteTable::builder()
        .get("/{tenant}/files/{*path}", "files")
        .get("/{tenant}/files/public/{*path}", Access::Public)
        .build()
        .unwrap();
    let patterns = [
        ("/files/{*path}", "files"),
        ("/files/public/{*path}", "public"),
    ];
    let router = nested(&ring, table, &patterns);
    let (nobody, files) = (key(&ring, "").await, key(&ring, "files").await);
    for target in ["/acme/files/files/public/secret", "/acme/files/a"] {
        let request = with_body(at("GET", target, Request::new(())));
        let response = send(&router, request).await;
        assert_eq!(response.kind(), Some(RejectionKind::Missing), "{target}");
        let request = with_body(at("GET", target, with_key(&nobody)));
        let response = send(&router, request).await;
        assert_eq!(refused(&response), lacking("files"), "{target}");
        let request = with_body(at("GET", target, with_key(&files)));
        assert_eq!(send(&router, request).await.body, "files", "{target}");
    }
    let request = with_body(at("GET", "/acme/files/public/a", Request::new(())));
    assert_eq!(send(&router, request).await.body, "public");
}

/// A fallback of a nested router, and a service in `nest_service`, have no pattern, and a path without the prefix.
#[tokio::test]
async fn r13_without_a_pattern_the_whole_path_is_matched() {
    let ring = ring();
    let table = RouteTable::builder()
        .get("/health", Access::Public)
        .get("/api/health", "health")
        .get("/api", "root")
        .get("/api/", "slash")
        .build()
        .unwrap();
    let layer = ApiKeyLayer::new(ring.clone()).routes(table);
    let proxy = async |request: axum::extract::Request| request.uri().path().to_owned();
    let fallback = Router::new().fallback(proxy).layer(layer.clone());
    let service = layer.layer(any(proxy));
    let routers = [
        Router::new().nest("/api", fallback.clone()),
        Router::new().nest_service("/api", fallback),
        Router::new().nest_service("/api", service),
    ];
    for (place, router) in routers.into_iter().enumerate() {
        for (target, scope, stripped) in [
            ("/api/health", "health", "/health"),
            ("/api", "root", "/"),
            ("/api/", "slash", "/"),
        ] {
            if (place, target) == (0, "/api/") {
                // It is no path of a router in `nest`, nor of its fallback.
                continue;
            }
            let request = with_body(at("GET", target, Request::new(())));
            let response = send(&router, request).await;
            assert_eq!(response.kind(), Some(RejectionKind::Missing), "{target}");
            let nobody = key(&ring, "").await;
            let request = with_body(at("GET", target, with_key(&nobody)));
            let response = send(&router, request).await;
            assert_eq!(refused(&response), lacking(scope), "{target}");
            let holder = key(&ring, scope).await;
            let request = with_body(at("GET", target, with_key(&holder)));
            assert_eq!(send(&router, request).await.body, stripped, "{target}");
        }
        let everything = key(&ring, "health root slash").await;
        let request = with_body(at("GET", "/api/api", with_key(&everything)));
        assert_eq!(refused(&send(&router, request).await), UNKNOWN);
    }
}

/// A layer between the router and the table has put another path in the place of the client's.
#[tokio::test]
async fn r13_a_path_that_was_rewritten_inside_a_router_is_refused() {
    let ring = ring();
    let table = RouteTable::builder()
        .any_method("/{*rest}", "all")
        .get("/open", Access::Public)
        .build()
        .unwrap();
    let rewritten = tower::util::MapRequestLayer::new(|mut request: axum::extract::Request| {
        *request.uri_mut() = "/admin".parse().unwrap();
        request
    });
    let inner = ApiKeyLayer::new(ring.clone())
        .routes(table)
        .layer(any(async || "admin"));
    let all = key(&ring, "all").await;
    for router in [
        Router::new().fallback_service(rewritten.layer(inner.clone())),
        Router::new().route_service("/{*rest}", rewritten.layer(inner)),
    ] {
        let request = with_body(at("GET", "/open", Request::new(())));
        let response = send(&router, request).await;
        assert_eq!(response.kind(), Some(RejectionKind::Missing));
        let request = with_body(at("GET", "/open", with_key(&all)));
        assert_eq!(refused(&send(&router, request).await), UNKNOWN);
        let request = with_body(at("GET", "/admin", with_key(&all)));
        assert_eq!(send(&router, request).await.body, "admin");
    }
}

/// The bytes of the answer to a request without a key, except for the date.
async fn on_the_wire(router: &Router, method: &str, target: &str) -> String {
    let (mut client, server) = tokio::io::duplex(4096);
    let service = TowerToHyperService::new(router.clone());
    let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let asking = async {
        let request = format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (done, answer) = tokio::join!(serving, asking);
    done.unwrap();
    let (before, date) = answer.split_once("date: ").unwrap();
    let (_, after) = date.split_once("\r\n").unwrap();
    format!("{before}{after}")
}

#[tokio::test]
async fn r25_a_stranger_does_not_learn_which_patterns_have_a_handler() {
    let ring = ring();
    let items = Routes::new()
        .get("/", "items", async || "")
        .post("/{item}", "items", async || "");
    let files = tower::service_fn(async |_: axum::extract::Request| {
        Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
    });
    let (router, _) = Routes::new()
        .get("/orders/{id}", "orders", async || "")
        .delete("/orders/{id}", "orders", async || "")
        .nest("/orders/{id}/items", items)
        .any_method("/admin/{*rest}", "admin", async || "")
        .get("/admin/{*rest}", "admin", async || "")
        .service("/files/{*rest}", "files", files)
        .build(ApiKeyLayer::new(ring.clone()))
        .unwrap();
    let router: Router = router;
    let everything = key(&ring, "items orders admin files").await;
    let targets = [
        "/orders/42",
        "/orders/42/items",
        "/orders/42/items/7",
        "/admin/a",
        "/files/a",
    ];
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE",
    ];
    for method in methods {
        let unknown = on_the_wire(&router, method, "/nothing").await;
        assert!(unknown.starts_with("HTTP/1.1 401 "), "{unknown}");
        for target in targets {
            let known = on_the_wire(&router, method, target).await;
            assert_eq!(known, unknown, "{method} {target}");
        }
    }
    // The other handlers are reached as before.
    for (method, target, status) in [
        ("GET", "/orders/42", 200),
        ("HEAD", "/orders/42", 200),
        ("DELETE", "/orders/42", 200),
        ("PUT", "/orders/42", 403),
        ("OPTIONS", "/orders/42/items", 403),
        ("POST", "/orders/42/items/7", 200),
        ("PUT", "/admin/a", 200),
        ("PATCH", "/files/a", 200),
    ] {
        let request = with_body(at(method, target, with_key(&everything)));
        let response = send(&router, request).await;
        assert_eq!(response.status, status, "{method} {target}");
        assert!(!response.headers.contains_key("allow"), "{method} {target}");
    }
}
