//! What the feature `testing` has: it makes what a layer, a ring and a store make.

mod examples;
mod matrix;
mod supplied;

use std::panic::catch_unwind;

use http::{HeaderValue, Request};
use tower::Layer;
use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key::testing::{self, Recorded, Recorder, RecordingStore};
use tower_api_key::{
    Access, ApiKeyLayer, Event, EventKind, Grant, InvalidCause, KeyRing, KeyState, Rejection,
    RejectionKind, RequireScopeLayer, RevocationReason, RouteTable, ScopeSet, Timestamp,
    VerifiedKey,
};

use crate::support::{Inner, Whole, X_API_KEY, issue, send};

/// A request with these keys.
fn with_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Request<()> {
    let mut request = Request::new(());
    for key in keys {
        let value = HeaderValue::from_str(key).unwrap();
        request.headers_mut().append(X_API_KEY, value);
    }
    request
}

/// Each refusal of a real stack, and the events of its ring.
async fn refusals() -> Vec<(Whole, Vec<Recorded>)> {
    let recorder = Recorder::new();
    let ring = KeyRing::builder("test")
        .observer(recorder.clone())
        .build(MemoryStore::new())
        .unwrap();
    let elsewhere = KeyRing::builder("test").build(MemoryStore::new()).unwrap();
    let [key, revoked, unknown] = [
        issue(&ring, "").await,
        issue(&ring, "").await,
        issue(&elsewhere, "").await,
    ];
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(revoked.id(), reason).await.unwrap();
    let [key, revoked, unknown] = [&key, &revoked, &unknown].map(|it| it.secret().expose());
    recorder.take();

    let table = RouteTable::builder()
        .get("/", Access::AnyKey)
        .get("/test", "test");
    let layer = ApiKeyLayer::new(ring).routes(table.build().unwrap());
    let service = layer.layer(Inner::new());
    let mut in_url = with_keys([key]);
    *in_url.uri_mut() = format!("/?key={key}").parse().unwrap();
    let mut misplaced = with_keys([]);
    let value = format!("Basic {key}").parse().unwrap();
    misplaced.headers_mut().insert("authorization", value);
    let [mut lacking, mut nowhere] = [with_keys([key]), with_keys([key])];
    *lacking.uri_mut() = "/test".parse().unwrap();
    *nowhere.uri_mut() = "/nowhere".parse().unwrap();

    let mut found = Vec::new();
    for request in [
        with_keys([]),
        with_keys([key, key]),
        in_url,
        misplaced,
        lacking,
        nowhere,
        with_keys(["nonsense"]),
        with_keys([unknown]),
        with_keys([revoked]),
    ] {
        let whole = send(&service, request).await;
        found.push((whole, recorder.take()));
    }
    found
}

#[tokio::test]
async fn a_rejection_is_that_of_a_layer() {
    let mut kinds = Vec::new();
    for (whole, _) in refusals().await {
        let real = whole.rejection.unwrap();
        let made = match real.cause() {
            Some(cause) => testing::invalid(cause),
            None => testing::rejection(real.kind()),
        };
        let parts = |it: &Rejection| {
            let text = it.detail().to_owned();
            let keys = [it.key_id().is_some(), it.claimed_key_id().is_some()];
            (it.kind(), it.status(), text, it.cause(), keys)
        };
        assert_eq!(parts(&made), parts(&real));
        assert_eq!(made.requirement(), real.requirement());
        let response = made.into_response();
        assert_eq!(response.body(), &whole.body);
        let mut headers = response.headers().clone();
        headers.insert("vary", HeaderValue::from_static("x-api-key"));
        assert_eq!(headers, whole.headers);
        kinds.push(real.kind());
    }
    assert_eq!(kinds.len(), 9);
    let outage = testing::rejection(RejectionKind::StoreUnavailable);
    assert!(std::error::Error::source(&outage).is_some());
    let without_layer = testing::rejection(RejectionKind::NotAuthenticated);
    assert_eq!(without_layer.status(), 500);
    let invalid = testing::rejection(RejectionKind::Invalid);
    assert_eq!(invalid.cause(), Some(InvalidCause::Unknown));
}

#[tokio::test]
async fn an_event_is_that_of_a_layer() {
    let recorder = Recorder::new();
    let made = |kind| {
        recorder.take();
        tower_api_key::Observer::observe(&recorder, &testing::event(kind));
        recorder.take().remove(0)
    };
    let parts = |it: &Recorded| {
        let keys = [it.key_id().is_some(), it.claimed_key_id().is_some()];
        let subject = it.subject().map(str::to_owned);
        (it.kind(), it.realm().cloned(), keys, it.place(), subject)
    };
    let mut compared = 0;
    for (_, events) in refusals().await {
        for event in events {
            assert_eq!(parts(&made(event.kind())), parts(&event));
            compared += 1;
        }
    }
    assert!(compared > 9, "{compared}");
}

#[test]
fn there_is_an_event_of_each_kind_once() {
    let events: Vec<Event<'_>> = testing::events().collect();
    for (place, event) in events.iter().enumerate() {
        let others = events.iter().skip(place + 1);
        assert!(
            others.clone().all(|it| it.kind() != event.kind()),
            "{event:?}"
        );
        // It says why, if it is about a failure.
        let is_failure = [
            "move_failed",
            "upkeep_failed",
            "store_reload_failed",
            "replica_stale",
        ]
        .contains(&event.kind().as_str());
        let is_outage = matches!(
            event.kind(),
            EventKind::Rejected {
                kind: RejectionKind::StoreUnavailable,
                ..
            }
        );
        assert_eq!(
            event.failure().is_some(),
            is_failure || is_outage,
            "{event:?}"
        );
    }
    assert_eq!(events.len(), 39);
    let cause = Some(InvalidCause::Expired);
    let kind = RejectionKind::Missing;
    assert!(catch_unwind(|| testing::event(EventKind::Rejected { kind, cause })).is_err());
}

#[tokio::test]
async fn a_verified_key_passes_a_guard() {
    let grant = Grant::new("alice").scopes("orders:read").label("laptop");
    let key = testing::verified(grant.never_expires());
    assert_eq!(key.subject(), "alice");
    assert_eq!(key.realm().as_str(), "test");
    assert_eq!(key.valid_until(), None);

    let guard = RequireScopeLayer::new("orders:read").layer(Inner::new());
    let mut request = Request::new(());
    request.extensions_mut().insert(key);
    assert_eq!(send(&guard, request).await.status, 200);
}

#[tokio::test]
async fn a_guard_asks_the_anonymous_for_a_key() {
    let guard = RequireScopeLayer::new("orders:read").layer(Inner::new());
    let mut request = Request::new(());
    request.extensions_mut().insert(testing::anonymous());
    let whole = send(&guard, request).await;
    assert_eq!(whole.kind(), Some(RejectionKind::Missing));
    assert_eq!(whole.values("www-authenticate"), ["ApiKey realm=\"test\""]);
}

#[tokio::test]
async fn r11_a_layer_removes_a_key_and_a_mark_that_the_module_made() {
    let ring = KeyRing::builder("test").build(MemoryStore::new()).unwrap();
    let inner = Inner::new();
    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(testing::verified(Grant::new("mallory")));
    let required = ApiKeyLayer::new(ring.clone()).layer(inner.clone());
    assert_eq!(
        send(&required, request).await.kind(),
        Some(RejectionKind::Missing)
    );
    assert_eq!(inner.calls(), 0);

    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(testing::verified(Grant::new("mallory")));
    let optional = ApiKeyLayer::new(ring.clone())
        .optional()
        .layer(inner.clone());
    assert_eq!(send(&optional, request).await.status, 200);
    assert!(inner.last().extensions.get::<VerifiedKey>().is_none());

    let alice = issue(&ring, "").await;
    let mut request = with_keys([alice.secret().expose()]);
    request.extensions_mut().insert(testing::anonymous());
    assert_eq!(send(&required, request).await.status, 200);
    let mut seen = inner.last().extensions;
    assert_eq!(seen.remove::<VerifiedKey>().unwrap().id(), alice.id());
    let rejection = VerifiedKey::of(&seen).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::NotAuthenticated);
}

#[test]
fn a_key_that_no_ring_would_accept_is_not_made() {
    let later = Timestamp::from_unix(250_000_000_000);
    for grant in [
        Grant::new(""),
        Grant::new("alice").scopes("two  spaces"),
        Grant::new("alice").not_before(later),
        Grant::new("alice").caveats("net=10.0.0.0/8"),
    ] {
        assert!(
            catch_unwind(|| testing::verified(grant.clone())).is_err(),
            "{grant:?}"
        );
    }
}

#[tokio::test]
async fn a_store_records_the_changes_that_it_applied() {
    let recording = RecordingStore::new();
    let ring = KeyRing::builder("acme").build(recording.clone()).unwrap();
    let read = "read".parse::<ScopeSet>().unwrap();
    let first = issue(&ring, "read write").await;
    ring.narrow(first.id(), &read).await.unwrap();
    let second = ring.rotate_now(first.id()).await.unwrap();
    assert!(ring.narrow(first.id(), &read).await.is_err());
    let changes = recording.take();
    assert_eq!(changes.len(), 3);
    assert!(recording.take().is_empty());

    let store = MemoryStore::new();
    for change in &changes {
        store.commit(change).await.unwrap();
    }
    let again = KeyRing::builder("acme").build(store).unwrap();
    let old = again.get(first.id()).await.unwrap().unwrap();
    assert_eq!(again.view(old).state(), KeyState::Revoked);
    let key = again
        .verify(second.secret().expose().as_bytes())
        .await
        .unwrap();
    assert_eq!(key.scopes().to_string(), "read");
}
