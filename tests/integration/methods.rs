//! Neither the method nor the spelling of the target changes which requests are accepted.

use http::{HeaderName, Method, Request, StatusCode, Uri};
use tower::Layer;
use tower_api_key::{ApiKeyLayer, KeyRing, RejectionKind};

use crate::outcome::{INVALID, MISSING, PASSES, check};
use crate::support::{Inner, every_kind_of_key, key, request, ring, send, with_key};

const METHODS: [&str; 14] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE",
    "M-SEARCH", "PROPFIND", "get", "options",
];

/// Spellings of targets that routers and proxies have interpreted differently.
const TARGETS: [&str; 34] = [
    "/",
    "/admin",
    "/ADMIN",
    "/admin/",
    "//admin",
    "///admin",
    "//example.com/admin",
    "/./admin",
    "/../admin",
    "/open/../admin",
    "/open/..%2fadmin",
    "/open%2f..%2fadmin",
    "/open/%2e%2e/admin",
    "/%2E%2E/admin",
    "/%61dmin",
    "/%2561dmin",
    "/%2fadmin",
    "/admin%2f",
    "/admin%00",
    "/admin%0a",
    "/admin%20",
    "/admin;a=b",
    "/open;/admin",
    "/open/..;/admin",
    "/;/admin",
    "/admin?open",
    "/admin?/open",
    "/open?/admin",
    "/open\\..\\admin",
    "/admin.json",
    "/health",
    "http://example.com/admin",
    "http://example.com//admin",
    "*",
];

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

fn at(target: &str, mut request: Request<()>) -> Request<()> {
    *request.uri_mut() = target.parse().unwrap();
    request
}

fn bare() -> Request<()> {
    Request::new(())
}

#[tokio::test]
async fn r14_every_method_is_authenticated_alike() {
    for (ring, key) in every_kind_of_key().await {
        let layer = ApiKeyLayer::new(ring);
        let writes = layer.clone().require("write");
        let (expected, _) = check(&layer, bare(), MISSING).await;
        for name in METHODS {
            let with = |mut request: Request<()>| {
                *request.method_mut() = method(name);
                if name == "CONNECT" {
                    *request.uri_mut() = Uri::from_static("example.com:443");
                }
                request
            };
            let (missing, _) = check(&layer, with(bare()), MISSING).await;
            assert_eq!(missing.headers, expected.headers, "{name}");
            let body = if name == "HEAD" {
                "".into()
            } else {
                expected.body.clone()
            };
            assert_eq!(missing.body, body, "{name}");
            check(&layer, with(with_key("nonsense")), INVALID).await;
            check(&writes, with(bare()), MISSING).await;
            let optional = layer.clone().optional();
            check(&optional, with(with_key("nonsense")), INVALID).await;

            let (_, inner) = check(&layer, with(with_key(&key)), PASSES).await;
            assert_eq!(inner.last().method.as_str(), name);
            let inner = Inner::new();
            let lacking = send(&writes.layer(inner.clone()), with(with_key(&key))).await;
            assert_eq!(lacking.status, StatusCode::FORBIDDEN, "{name}");
            assert_eq!(lacking.kind(), Some(RejectionKind::InsufficientScope));
            assert_eq!(inner.calls(), 0, "{name}");
        }
    }
}

#[tokio::test]
async fn r14_a_method_override_makes_no_difference() {
    let names = [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-method",
    ];
    for (ring, key) in every_kind_of_key().await {
        let layer = ApiKeyLayer::new(ring);
        for name in METHODS {
            for header in names.map(HeaderName::from_static) {
                let overriding = |key: Option<&str>| {
                    let own = key.map(|key| (HeaderName::from_static("x-api-key"), key));
                    request([(header.clone(), name)].into_iter().chain(own))
                };
                check(&layer, overriding(None), MISSING).await;
                check(&layer, overriding(Some("nonsense")), INVALID).await;
                let (_, inner) = check(&layer, overriding(Some(&key)), PASSES).await;
                assert_eq!(inner.last().headers[&header], name);
            }
            let target = format!("/?_method={name}");
            check(&layer, at(&target, bare()), MISSING).await;
        }
    }
}

#[tokio::test]
async fn r16_a_preflight_without_a_key_is_refused() {
    let preflight = || {
        let mut request = request([
            ("origin", "https://example.com"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "x-api-key"),
        ]);
        *request.method_mut() = Method::OPTIONS;
        request
    };
    for target in ["/", "*", "/admin"] {
        let (response, _) =
            check(&ApiKeyLayer::new(ring()), at(target, preflight()), MISSING).await;
        assert_eq!(
            response.values("www-authenticate"),
            ["ApiKey realm=\"orders\""]
        );
        let allowed = response.headers.keys().find(|name| {
            name.as_str().starts_with("access-control-") || *name == http::header::ALLOW
        });
        assert_eq!(allowed, None);
    }
}

#[tokio::test]
async fn r13_no_spelling_of_a_target_is_exempt() {
    for (ring, key) in every_kind_of_key().await {
        let layer = ApiKeyLayer::new(ring);
        for target in TARGETS {
            check(&layer, at(target, bare()), MISSING).await;
            check(&layer, at(target, with_key("nonsense")), INVALID).await;
            let (_, inner) = check(&layer, at(target, with_key(&key)), PASSES).await;
            assert_eq!(inner.last().uri, target.parse::<Uri>().unwrap());
        }
    }
}

/// Every path that a router takes for a guarded route is guarded: the scope is attached to the
/// route, so the path is not interpreted a second time.
#[tokio::test]
async fn r13_a_router_reaches_a_guarded_route_through_its_guard_alone() {
    let ring: KeyRing = ring();
    let admin = key(&ring, "admin").await;
    let reader = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring);
    let guarded = axum::Router::new()
        .route("/admin", axum::routing::any(|| async { "admin" }))
        .route("/nested/{*rest}", axum::routing::any(|| async { "admin" }))
        .route_layer(layer.require("admin"));
    let router = axum::Router::new()
        .route("/", axum::routing::any(|| async { "open" }))
        .route("/open", axum::routing::any(|| async { "open" }))
        .merge(guarded);

    let nested = TARGETS.map(|target| format!("/nested/{target}"));
    let targets = TARGETS.into_iter().chain(nested.iter().map(String::as_str));
    let mut reached = 0;
    for target in targets {
        let send = async |request: Request<()>| {
            let request = at(target, request).map(|()| axum::body::Body::empty());
            send(&router, request).await
        };
        let allowed = send(with_key(&admin)).await;
        let anonymous = send(bare()).await;
        let lacking = send(with_key(&reader)).await;
        if allowed.body == "admin" {
            reached += 1;
            assert_eq!(anonymous.kind(), Some(RejectionKind::Missing), "{target}");
            assert_eq!(
                lacking.kind(),
                Some(RejectionKind::InsufficientScope),
                "{target}"
            );
        } else {
            assert_eq!(anonymous.status, allowed.status, "{target}");
            assert_eq!(anonymous.body, allowed.body, "{target}");
        }
        assert_ne!(anonymous.body, "admin", "{target}");
        assert_ne!(lacking.body, "admin", "{target}");
    }
    assert!(reached > TARGETS.len(), "the nested routes are reached");
}
