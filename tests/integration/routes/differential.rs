//! The same random requests to axum's own router and to the table.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, on};
use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use tower::{Layer, Service};
use tower_api_key::guard::routes::Routes;
use tower_api_key::{ApiKeyLayer, RouteTable};

use super::{Verdict, refused};
use crate::support::{key, ring, send, with_key};

/// The routes of both: method, pattern, and the scope, which is the answer of the handler too.
const ROUTES: [(&str, &str, &str); 20] = [
    ("GET", "/", "root"),
    ("GET", "/a", "a"),
    ("POST", "/a", "a-post"),
    ("HEAD", "/a/b", "a-b-head"),
    ("GET", "/a/b", "a-b"),
    ("GET", "/a/{x}", "a-x"),
    ("DELETE", "/a/{x}", "a-x-delete"),
    ("GET", "/a/{x}/b", "a-x-b"),
    ("PUT", "/a/b/{y}", "a-b-y"),
    ("GET", "/a/b/", "a-b-slash"),
    ("GET", "/{x}/b", "x-b"),
    ("PATCH", "/b/{*rest}", "b-rest"),
    ("*", "/b/a", "b-a"),
    ("GET", "/b/a", "b-a-get"),
    ("*", "/b/b/{*rest}", "b-b-rest"),
    ("OPTIONS", "/a", "a-options"),
    ("TRACE", "/a.b", "a.b"),
    ("GET", "/a-{x}", "a-dash"),
    ("POST", "/p.S/M", "grpc"),
    ("GET", "/%20/b", "space-b"),
];

/// Parts of paths, most of which make canonical ones.
const PARTS: [&str; 26] = [
    "/a", "/b", "/a", "/b", "/x", "/", "/a.b", "/a-b", "/a-", "/p.S", "/M", "/%20", "/.", "/..",
    "//", "/%2e", "/%2F", "/a%2fb", "/;a", "/a;b", "/%61", "/A", "/é", "/a\\b", "/...", "/%C3%A9",
];

const METHODS: [&str; 12] = [
    "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE",
    "CONNECT",
];

/// A generator of Marsaglia's, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn target(&mut self) -> String {
        let start = ["", "", "", "", "http://api.example.com"][self.next(5)];
        let parts = (0..=self.next(4)).map(|_| PARTS[self.next(PARTS.len())]);
        let path: String = parts.collect();
        let query = ["", "", "?a=/../b"][self.next(3)];
        format!("{start}{path}{query}")
    }
}

/// Whether the segments of a path are those that the documentation of the table lets pass, in another way than
/// that of the table.
fn is_canonical(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let last = segments.len() - 1;
    path.starts_with('/')
        && path.is_ascii()
        && !path.contains([';', '\\'])
        && ["%2e", "%2f", "%61"]
            .iter()
            .all(|it| !path.to_lowercase().contains(it))
        && segments.iter().all(|it| ![".", ".."].contains(it))
        && segments[..last].iter().all(|it| !it.is_empty())
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

/// A handler says which it is in this header, because the answer to `HEAD` has no body.
const HANDLER: &str = "x-handler";

/// The handler that answered, and the refusal.
type Answer = (Option<String>, Verdict);

async fn answer<S, ResBody>(service: &S, method: &Method, target: &Uri, key: &str) -> Answer
where
    S: Service<Request<Body>, Response = Response<ResBody>, Error = Infallible> + Clone,
    ResBody: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let mut request = with_key(key).map(|()| Body::empty());
    *request.method_mut() = method.clone();
    *request.uri_mut() = target.clone();
    let response = send(service, request).await;
    let handler = response.values(HANDLER).first().map(ToString::to_string);
    (handler, refused(&response))
}

#[tokio::test]
async fn r13_a_request_reaches_a_handler_only_with_the_scope_of_that_handler() {
    let ring = ring();
    let (mut plain, mut table, mut routes) = (Router::new(), RouteTable::builder(), Routes::new());
    let mut keys = HashMap::new();
    for (name, pattern, scope) in ROUTES {
        keys.insert(scope, key(&ring, scope).await);
        if name == "*" {
            plain = plain.route(pattern, any(async move || [(HANDLER, scope)]));
            table = table.any_method(pattern, scope);
            routes = routes.any_method(pattern, scope, async move || [(HANDLER, scope)]);
        } else {
            let filter = method(name).try_into().unwrap();
            plain = plain.route(pattern, on(filter, async move || [(HANDLER, scope)]));
            table = table.route(method(name), pattern, scope);
            let handler = async move || [(HANDLER, scope)];
            routes = routes.route(method(name), pattern, scope, handler);
        }
    }
    let table = table.build().unwrap();
    let (inside, _) = routes.build(ApiKeyLayer::new(ring.clone())).unwrap();
    let outside = ApiKeyLayer::new(ring.clone()).routes(table.clone());
    let outside = outside.layer(plain.clone());
    let without_scopes = key(&ring, "").await;

    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut reached = BTreeSet::new();
    let (mut requests, mut only_axum) = (0, 0);
    while requests < 100_000 {
        let method = method(METHODS[random.next(METHODS.len())]);
        let Ok(target) = random.target().parse::<Uri>() else {
            continue;
        };
        requests += 1;
        let (handler, _) = answer(&plain, &method, &target, "").await;
        let is_known = !["PURGE", "CONNECT"].contains(&method.as_str());
        let expected = handler
            .clone()
            .filter(|_| is_known && is_canonical(target.path()));
        only_axum += usize::from(handler != expected);

        let what = format!("{method} {target}");
        let found = table.find(&method, &target);
        assert_eq!(
            found.map(|route| route.access().to_string()),
            expected,
            "{what}"
        );
        let refusal = match &expected {
            Some(scope) => super::lacking(scope),
            None => super::UNKNOWN,
        };
        let held = &without_scopes;
        assert_eq!(
            answer(&inside, &method, &target, held).await,
            (None, refusal.clone()),
            "{what}"
        );
        assert_eq!(
            answer(&outside, &method, &target, held).await,
            (None, refusal),
            "{what}"
        );
        if let Some(scope) = expected {
            let held = &keys[&*scope];
            let passes = (Some(scope.clone()), None);
            assert_eq!(
                answer(&inside, &method, &target, held).await,
                passes,
                "{what}"
            );
            assert_eq!(
                answer(&outside, &method, &target, held).await,
                passes,
                "{what}"
            );
            reached.insert(scope);
        }
    }
    assert_eq!(reached.len(), ROUTES.len(), "{reached:?}");
    assert!(only_axum > 1_000, "{only_axum}");
}
