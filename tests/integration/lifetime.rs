//! Responses that say when their key ends (RFC 8594, RFC 9745).

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderName, Request, StatusCode};
use tower::Layer;
use tower_api_key::{
    ApiKeyLayer, Grant, KeyRing, ManualClock, RejectionKind, RequireScopeLayer, ResponseGuardLayer,
    RevocationReason, Timestamp, store::MemoryStore,
};

use crate::support::{Inner, START, as_grpc, send, with_key};
use crate::wire::{Server, good};

const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);
const SECOND: Duration = Duration::from_secs(1);

const SUNSET: HeaderName = HeaderName::from_static("sunset");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");

/// A ring whose clock stands at `Fri, 15 Jan 2027 08:00:00 GMT`.
fn scene() -> (KeyRing, ManualClock) {
    assert_eq!(START.to_string(), "2027-01-15T08:00:00Z");
    let clock = ManualClock::new(START);
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .unlimited_lifetime()
        .build(MemoryStore::new())
        .unwrap();
    (ring, clock)
}

async fn key(ring: &KeyRing, lifetime: Duration) -> String {
    let grant = Grant::new("alice").scopes("read").expires_in(lifetime);
    let issued = ring.issue(grant).await.unwrap();
    issued.secret().expose().to_owned()
}

/// The old and the new secret of a key that was rotated.
async fn rotated(ring: &KeyRing, grant: Grant, grace: Duration) -> [String; 2] {
    let old = ring.issue(grant).await.unwrap();
    let new = ring.rotate(old.id(), grace).await.unwrap();
    [old, new].map(|issued| issued.secret().expose().to_owned())
}

/// The lines of a response through hyper that announce an end.
async fn announced(server: &Server, key: &str) -> Vec<String> {
    let mut client = server.connect().await;
    client.send(&good(key)).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(
        answer.head.contains("\r\ncache-control: private\r\n"),
        "{}",
        answer.head
    );
    let lines = answer.head.lines().map(str::to_owned);
    let mut lines: Vec<String> = lines
        .filter(|line| line.starts_with("sunset: ") || line.starts_with("deprecation: "))
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_holder_is_told_through_hyper_when_a_key_ends() {
    let (ring, clock) = scene();
    let server = Server::with(ApiKeyLayer::new(ring.clone()).lifetime_headers(WEEK)).await;
    let far = key(&ring, WEEK + SECOND).await;
    assert_eq!(announced(&server, &far).await, [""; 0]);
    clock.advance(SECOND);
    let sunset = "sunset: Fri, 22 Jan 2027 08:00:01 GMT";
    assert_eq!(announced(&server, &far).await, [sunset]);
    clock.advance(WEEK.saturating_sub(SECOND));
    assert_eq!(announced(&server, &far).await, [sunset]);
    let endless = ring
        .issue(Grant::new("alice").never_expires())
        .await
        .unwrap();
    assert_eq!(announced(&server, endless.secret().expose()).await, [""; 0]);
}

#[tokio::test]
async fn the_holder_is_told_through_hyper_that_a_key_was_replaced() {
    let (ring, clock) = scene();
    let server =
        Server::with(ApiKeyLayer::new(ring.clone()).lifetime_headers(Duration::ZERO)).await;
    let grant = || Grant::new("alice").expires_in(90 * DAY);
    let [old, new] = rotated(&ring, grant(), DAY).await;
    assert_eq!(announced(&server, &new).await, [""; 0]);
    let sunset = "sunset: Sat, 16 Jan 2027 08:00:00 GMT";
    let told = announced(&server, &old).await;
    assert_eq!(told, ["deprecation: @1800000000", sunset]);
    // By then it has been replaced.
    clock.advance(60 * SECOND);
    let told = announced(&server, &old).await;
    assert_eq!(told, ["deprecation: @1800000060", sunset]);
    // The key may end before its grace period.
    let [ends_before, _] = rotated(&ring, Grant::new("alice").expires_in(SECOND), DAY).await;
    let told = announced(&server, &ends_before).await;
    assert_eq!(
        told,
        [
            "deprecation: @1800000060",
            "sunset: Fri, 15 Jan 2027 08:01:01 GMT"
        ]
    );
    let [endless, _] = rotated(&ring, Grant::new("alice").never_expires(), DAY).await;
    assert_eq!(announced(&server, &endless).await.len(), 2);
}

#[tokio::test]
async fn nothing_is_told_unless_the_layer_is_told_to() {
    let (ring, _) = scene();
    let server = Server::with(ApiKeyLayer::new(ring.clone())).await;
    let [old, _] = rotated(&ring, Grant::new("alice"), DAY).await;
    assert_eq!(announced(&server, &old).await, [""; 0]);
    assert_eq!(announced(&server, &key(&ring, SECOND).await).await, [""; 0]);
}

/// A refusal says nothing of the key, and an anonymous client has none.
#[tokio::test]
async fn r25_refusals_and_anonymous_responses_are_the_same_as_without() {
    let (ring, clock) = scene();
    let [retired, _] = rotated(&ring, Grant::new("alice").scopes("read"), SECOND).await;
    let expired = key(&ring, SECOND).await;
    let revoked = ring
        .issue(Grant::new("alice").expires_in(DAY))
        .await
        .unwrap();
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(revoked.id(), reason).await.unwrap();
    clock.advance(SECOND);
    let live = key(&ring, DAY).await;
    let unknown = format!("{}x", &live[..live.len() - 1]);
    let plain = || ApiKeyLayer::new(ring.clone());
    let mut invalid = Vec::new();
    for (layer, of_keys) in [
        (
            plain(),
            vec![
                retired,
                expired,
                revoked.secret().expose().to_owned(),
                unknown,
            ],
        ),
        (plain().require("write"), vec![live.clone()]),
        (plain().optional(), Vec::new()),
    ] {
        let with = layer.clone().lifetime_headers(WEEK).layer(Inner::new());
        let without = layer.layer(Inner::new());
        let requests = of_keys.iter().map(|key| with_key(key));
        for request in requests.chain([Request::new(())]) {
            let (told, usual) = (
                send(&with, request.clone()).await,
                send(&without, request).await,
            );
            assert_eq!(told.headers, usual.headers);
            assert_eq!((told.status, &told.body), (usual.status, &usual.body));
            assert!(!told.headers.contains_key(SUNSET));
            if told.kind() == Some(RejectionKind::Invalid) {
                invalid.push((told.status, told.headers, told.body));
            }
        }
    }
    assert_eq!(invalid.len(), 4);
    assert!(invalid.windows(2).all(|pair| pair[0] == pair[1]));
    // A guard further in refuses.
    let guarded = RequireScopeLayer::new("write").layer(Inner::new());
    let service = plain().lifetime_headers(WEEK).layer(guarded);
    let refused = send(&service, with_key(&live)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!refused.headers.contains_key(SUNSET));
}

#[tokio::test]
async fn what_the_inner_service_says_of_its_resource_stays() {
    let (ring, _) = scene();
    let [old, _] = rotated(&ring, Grant::new("alice"), DAY).await;
    let own = "Fri, 01 Jan 2027 00:00:00 GMT";
    for (name, value) in [(SUNSET, own), (DEPRECATION, "@1790000000")] {
        let inner = Inner::new().with_header(name.clone(), value);
        let service = ApiKeyLayer::new(ring.clone())
            .lifetime_headers(WEEK)
            .layer(inner);
        let response = send(&service, with_key(&old)).await;
        assert_eq!(response.values(name.as_str()), [value]);
        let others = [SUNSET, DEPRECATION]
            .into_iter()
            .filter(|other| *other != name);
        assert!(
            others
                .into_iter()
                .all(|other| !response.headers.contains_key(other))
        );
    }
}

/// The response is the holder's own: a shared cache keeps it from others.
#[tokio::test]
async fn r26_a_response_that_a_cache_may_hand_to_others_names_no_end() {
    let (ring, _) = scene();
    let key = key(&ring, DAY).await;
    let layer = ApiKeyLayer::new(ring.clone()).lifetime_headers(WEEK);
    let unguarded = layer
        .clone()
        .danger_without_cache_guard()
        .layer(Inner::new());
    let response = send(&unguarded, with_key(&key)).await;
    assert!(!response.headers.contains_key(SUNSET) && !response.headers.contains_key("vary"));
    // If the service lets caches store it, they distinguish keys.
    let public = Inner::new().with_header(CACHE_CONTROL, "public, max-age=60");
    let response = send(&layer.layer(public), with_key(&key)).await;
    assert_eq!(response.values("cache-control"), ["public, max-age=60"]);
    assert_eq!(response.values("vary"), ["x-api-key"]);
    assert_eq!(response.values("sunset"), ["Sat, 16 Jan 2027 08:00:00 GMT"]);
}

#[tokio::test]
async fn other_rings_and_calls_announce_too_and_grpc_in_its_headers() {
    let (ring, _) = scene();
    let (other, _) = scene();
    let own = key(&other, DAY).await;
    let layer = ApiKeyLayer::new(ring.clone())
        .or(other)
        .lifetime_headers(WEEK);
    let sunset = ["Sat, 16 Jan 2027 08:00:00 GMT"];
    let service = layer.clone().layer(Inner::new());
    assert_eq!(
        send(&service, with_key(&own)).await.values("sunset"),
        sunset
    );
    let grpc = send(&service, as_grpc(with_key(&own), "application/grpc")).await;
    assert_eq!(grpc.values("sunset"), sunset);

    let authenticator = layer.authenticator();
    let handlers = tower::service_fn(move |request: Request<()>| {
        let authenticator = authenticator.clone();
        async move {
            let (mut parts, ()) = request.into_parts();
            authenticator.authenticate(&mut parts).await.unwrap();
            let body = http_body_util::Full::new(bytes::Bytes::new());
            Ok::<_, std::convert::Infallible>(http::Response::new(body))
        }
    });
    let service = ResponseGuardLayer::new().layer(handlers);
    assert_eq!(
        send(&service, with_key(&own)).await.values("sunset"),
        sunset
    );
}

/// A record by hand can hold any time.
#[tokio::test]
async fn an_end_that_http_cannot_write_is_not_announced() {
    let (ring, clock) = scene();
    let endless = ring
        .issue(Grant::new("alice").never_expires())
        .await
        .unwrap();
    let after_the_last_year = Timestamp::LAST_YEAR.checked_add(SECOND).unwrap();
    clock.set(after_the_last_year);
    let service = ApiKeyLayer::new(ring)
        .lifetime_headers(Duration::MAX)
        .layer(Inner::new());
    let response = send(&service, with_key(endless.secret().expose())).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(!response.headers.contains_key(SUNSET));
}
