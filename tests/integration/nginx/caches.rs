//! Rule 26 through nginx's `proxy_cache`, which implements `Vary` and `private`, and not
//! RFC 9111 §3.5.

use std::convert::Infallible;
use std::future::{Ready, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, service_fn};
use tower_api_key::{ApiKeyLayer, Grant, Issued, KeyRing, RevocationReason, Source, VerifiedKey};

use super::proxy::{Answer, Backend, Nginx, ask};
use crate::support::{X_API_KEY, ring};

type Headers = &'static [(&'static str, &'static str)];

/// The cache headers of the inner service, and whether a holder's second request may come from the
/// cache.
const SAID: [(&str, Headers, bool); 11] = [
    ("nothing", &[], false),
    ("max-age", &[("cache-control", "max-age=60")], false),
    (
        "expires",
        &[("expires", "Thu, 01 Jan 2099 00:00:00 GMT")],
        false,
    ),
    (
        "no-transform",
        &[
            ("cache-control", "no-transform"),
            ("cache-control", "max-age=60"),
        ],
        false,
    ),
    (
        "varies",
        &[("cache-control", "max-age=60"), ("vary", "accept-language")],
        false,
    ),
    ("private", &[("cache-control", "private")], false),
    ("no-store", &[("cache-control", "no-store")], false),
    ("public", &[("cache-control", "public, max-age=60")], true),
    ("s-maxage", &[("cache-control", "s-maxage=60")], true),
    (
        "must-revalidate",
        &[("cache-control", "max-age=60, must-revalidate")],
        true,
    ),
    (
        "public-varies",
        &[
            ("cache-control", "public, max-age=60"),
            ("vary", "accept-language"),
        ],
        true,
    ),
];

/// Answers with the holder's name, and with the headers that the last part of the path names.
fn inner(request: &Request<Incoming>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    let subject = request.extensions().get::<VerifiedKey>();
    let who = subject.map_or("nobody".to_owned(), |key| key.subject().to_string());
    let mut response = Response::builder();
    let asked = request.uri().path().rsplit('/').next().unwrap();
    let (_, headers, _) = SAID.iter().find(|(name, ..)| *name == asked).unwrap();
    for (name, value) in *headers {
        response = response.header(*name, *value);
    }
    ready(Ok(response.body(who.into()).unwrap()))
}

/// A cache in front of this layer, with its own lifetime for responses that do not set one.
async fn cached(test: &str, layer: ApiKeyLayer) -> Option<(Backend, Nginx)> {
    let backend = Backend::start(layer.layer(service_fn(|request| inner(&request)))).await;
    let nginx = Nginx::start(
        test,
        "proxy_cache_path $folder/cache keys_zone=all:1m;",
        &format!(
            "location / {{ proxy_pass http://{}; proxy_cache all; proxy_cache_valid any 1m;\n\
             add_header x-cache $upstream_cache_status always; }}",
            backend.address
        ),
    )
    .await?;
    Some((backend, nginx))
}

async fn issue_to(ring: &KeyRing, subject: &str) -> Issued {
    let grant = Grant::new(subject).scopes(["read"]);
    ring.issue(grant).await.unwrap()
}

type Presented = fn(&str) -> (&'static str, String);

const CARRIERS: [Presented; 2] = [
    |key| ("x-api-key", key.to_owned()),
    |key| ("authorization", format!("Bearer {key}")),
];

fn layers(ring: &KeyRing) -> [ApiKeyLayer; 3] {
    let layer = ApiKeyLayer::new(ring.clone());
    [
        layer.clone(),
        layer.clone().sources([Source::bearer()]),
        layer.sources([Source::header(X_API_KEY).unwrap(), Source::bearer()]),
    ]
}

#[track_caller]
fn assert_answer(answer: &Answer, status: u16, body: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    if status == 200 {
        assert_eq!(answer.body, body, "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn r26_no_cache_hands_one_holders_response_to_another() {
    const TEST: &str = "r26_no_cache_hands_one_holders_response_to_another";
    let ring = ring();
    let (alice, bob) = (issue_to(&ring, "alice").await, issue_to(&ring, "bob").await);
    for (number, layer) in layers(&ring).into_iter().enumerate() {
        for optional in [false, true] {
            let layer = layer.clone();
            let layer = if optional { layer.optional() } else { layer };
            let Some((_backend, nginx)) = cached(TEST, layer).await else {
                return;
            };
            let (status, nobody) = if optional { (200, "nobody") } else { (401, "") };
            for (carrier, presented) in CARRIERS.into_iter().enumerate() {
                // The first layers read one carrier each.
                if number < 2 && carrier != number {
                    continue;
                }
                let alice = presented(alice.secret().expose());
                let bob = presented(bob.secret().expose());
                for (said, _, stored) in SAID {
                    let what = format!("{number} {optional} {} {said}", alice.0);
                    let path = format!("/{carrier}/{said}");
                    let get = async |path: &str, key: Option<&(&str, String)>| {
                        let header = key.map(|(name, value)| (*name, value.as_str()));
                        ask(nginx.address, "GET", path, header.as_slice()).await
                    };
                    assert_answer(&get(&path, Some(&alice)).await, 200, "alice", &what);
                    assert_answer(&get(&path, Some(&bob)).await, 200, "bob", &what);
                    assert_answer(&get(&path, None).await, status, nobody, &what);
                    let again = get(&path, Some(&alice)).await;
                    assert_answer(&again, 200, "alice", &what);
                    let cache = if stored { "HIT" } else { "MISS" };
                    assert_eq!(again.value("x-cache"), Some(cache), "{what}");

                    // And if the cache learns of the target from a request without a key.
                    let path = format!("/first/{carrier}/{said}");
                    assert_answer(&get(&path, None).await, status, nobody, &what);
                    assert_answer(&get(&path, Some(&alice)).await, 200, "alice", &what);
                    let nobody_again = get(&path, None).await;
                    assert_answer(&nobody_again, status, nobody, &what);
                    // Anonymous responses are shared among anonymous requests.
                    let shared = optional && !["private", "no-store"].contains(&said);
                    let cache = if shared { "HIT" } else { "MISS" };
                    assert_eq!(nobody_again.value("x-cache"), Some(cache), "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn r26_a_revoked_key_does_not_read_on_through_a_cache() {
    const TEST: &str = "r26_a_revoked_key_does_not_read_on_through_a_cache";
    let ring = ring();
    for (number, layer) in layers(&ring).into_iter().enumerate() {
        let Some((_backend, nginx)) = cached(TEST, layer).await else {
            return;
        };
        for (said, _, stored) in SAID {
            let alice = issue_to(&ring, "alice").await;
            let (name, value) = CARRIERS[number.min(1)](alice.secret().expose());
            let path = format!("/{said}");
            let read = async || ask(nginx.address, "GET", &path, &[(name, &value)]).await;
            assert_answer(&read().await, 200, "alice", said);
            ring.revoke(alice.record().id(), RevocationReason::KeyCompromise)
                .await
                .unwrap();
            // Only if the inner service itself let caches store a response to a key.
            let status = if stored { 200 } else { 401 };
            assert_answer(&read().await, status, "alice", said);
        }
    }
}

#[tokio::test]
async fn r26_without_the_guard_the_same_cache_mixes_holders_up() {
    const TEST: &str = "r26_without_the_guard_the_same_cache_mixes_holders_up";
    let ring = ring();
    let (alice, bob) = (issue_to(&ring, "alice").await, issue_to(&ring, "bob").await);
    let layer = ApiKeyLayer::new(ring).sources([Source::bearer()]);
    let Some((_backend, nginx)) = cached(TEST, layer.danger_without_cache_guard()).await else {
        return;
    };
    for key in [&alice, &bob] {
        let bearer = format!("Bearer {}", key.secret().expose());
        let header = [("authorization", bearer.as_str())];
        let answer = ask(nginx.address, "GET", "/max-age", &header).await;
        assert_answer(&answer, 200, "alice", "without the guard");
    }
    let answer = ask(nginx.address, "GET", "/max-age", &[]).await;
    assert_answer(&answer, 200, "alice", "without the guard and a key");
}

#[tokio::test]
async fn r26_no_responder_gets_a_refusal_into_a_cache() {
    const TEST: &str = "r26_no_responder_gets_a_refusal_into_a_cache";
    let ring = ring();
    let alice = issue_to(&ring, "alice").await;
    for (number, layer) in layers(&ring).into_iter().enumerate() {
        let layer = layer.responder(|rejection| {
            Response::builder()
                .status(rejection.status())
                .header("cache-control", "public, max-age=60")
                .header("x-accel-expires", "60")
                .header("expires", "Thu, 01 Jan 2099 00:00:00 GMT")
                .header("vary", "accept-language")
                .body(Bytes::new())
                .unwrap()
        });
        let Some((_backend, nginx)) = cached(TEST, layer).await else {
            return;
        };
        let (name, value) = CARRIERS[number.min(1)](alice.secret().expose());
        for _ in 0..2 {
            let refused = ask(nginx.address, "GET", "/private", &[]).await;
            assert_eq!(refused.status, 401, "{refused:?}");
            assert_eq!(refused.value("x-cache"), Some("MISS"), "{refused:?}");
            let accepted = ask(nginx.address, "GET", "/private", &[(name, &value)]).await;
            assert_answer(&accepted, 200, "alice", name);
        }
    }
}
