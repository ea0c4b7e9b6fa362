//! Routes of axum with their handlers.

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::{Method, Request, StatusCode};
use tower::{Layer, ServiceExt};
use tower_api_key::guard::routes::Routes;
use tower_api_key::{Access, ApiKeyLayer, RejectionKind, RouteTable, VerifiedKey};

use super::{at, lacking, refused};
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
