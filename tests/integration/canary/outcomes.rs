//! Every outcome of a request, with a trace on either side of the layer.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, COOKIE, REFERER};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_api_key::store::{Lookup, MemoryStore, StoreError};
use tower_api_key::{
    ApiKeyLayer, Grant, KeyRing, ManualClock, Rejection, RejectionKind, RequireScopeLayer,
    RevocationReason, Source, Timestamp, VerifiedKey,
};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

use super::{Canary, Evidence, encoded, ring_at, ring_over, subscribe, trace};
use crate::ring::stores::Tapped;
use crate::support::{Inner, START, X_API_KEY, as_grpc, request};

const FORWARDED_URL: HeaderName = HeaderName::from_static("x-original-uri");

fn failing(store: &MemoryStore, answer: fn() -> Lookup) -> KeyRing {
    ring_over(Tapped::new(store).on_find(move |_, _, _| answer()), START)
}

fn with_uri(uri: &str) -> Request<()> {
    Request::builder().uri(uri).body(()).unwrap()
}

/// Sends a request through the layer with a trace on either side, and keeps all their output.
async fn observe(
    evidence: &mut Evidence,
    name: &str,
    layer: ApiKeyLayer,
    request: Request<()>,
    expected: Option<RejectionKind>,
) {
    // A trace asks for a body in both directions.
    let request = request.map(|()| Full::<Bytes>::default());
    let inner = Inner::new();
    let grpc = request.headers().contains_key("content-type");
    // In a URI it is in the log before any layer can refuse it.
    let in_uri = request.uri() != "/";
    let guarded = ServiceBuilder::new()
        .layer(layer)
        .layer(trace())
        .service(inner.clone());
    let response = if in_uri {
        let response = guarded.oneshot(request).await.unwrap();
        seen(evidence, name, response, expected).await
    } else {
        let service = ServiceBuilder::new()
            .layer(SetSensitiveRequestHeadersLayer::new([
                X_API_KEY,
                AUTHORIZATION,
                COOKIE,
                FORWARDED_URL,
                REFERER,
                HeaderName::from_static("x_api_key"),
            ]))
            .layer(trace())
            .service(guarded);
        let response = service.oneshot(request).await.unwrap();
        seen(evidence, name, response, expected).await
    };
    assert_eq!(response.is_some(), expected.is_some());
    assert_eq!(inner.calls(), usize::from(expected.is_none()), "{name}");
    if expected.is_none() {
        let head = inner.last();
        evidence.debug(&format!("{name}: inner"), &head);
        evidence.debug(
            &format!("{name}: proof"),
            &head.extensions.get::<VerifiedKey>(),
        );
    }
    assert!(
        !grpc || response.is_some(),
        "only refusals are asked of gRPC"
    );
}

/// Keeps a response with its body, and its rejection.
async fn seen<B>(
    evidence: &mut Evidence,
    name: &str,
    response: Response<B>,
    expected: Option<RejectionKind>,
) -> Option<Rejection>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Debug,
{
    let (head, body) = response.into_parts();
    evidence.debug(&format!("{name}: response"), &head);
    let rejection = head.extensions.get::<Rejection>().cloned();
    assert_eq!(rejection.as_ref().map(Rejection::kind), expected, "{name}");
    if let Some(rejection) = &rejection {
        evidence.debug(&format!("{name}: rejection"), rejection);
        evidence.add(format!("{name}: rejection"), rejection.to_string());
        evidence.add(format!("{name}: detail"), rejection.detail());
    }
    let body = body.collect().await.unwrap().to_bytes();
    evidence.add(format!("{name}: body"), body);
    rejection
}

#[tokio::test]
async fn r06_no_outcome_writes_the_key_down() {
    let (log, _guard) = subscribe();
    let mut evidence = Evidence::default();
    let canary = Canary::new().await;
    let (key, ring) = (canary.key(), canary.ring());
    let plain = || request([(X_API_KEY, key)]);
    let bearer = format!("Bearer {key}");
    let both = [
        Source::header(X_API_KEY).unwrap(),
        Source::bearer(),
        Source::api_key(),
    ];
    let layer = || ApiKeyLayer::new(ring.clone()).sources(both.clone());
    let percent = encoded(key, "%");

    let mut outcomes = vec![
        ("accepted", layer(), plain(), None),
        ("bearer", layer(), request([(AUTHORIZATION, &bearer)]), None),
        ("forwarded", layer().forward_credential(), plain(), None),
        (
            "bearer forwarded",
            layer().forward_credential(),
            request([(AUTHORIZATION, &bearer)]),
            None,
        ),
        ("optional", layer().optional(), plain(), None),
        (
            "missing",
            layer(),
            request([("accept", "*/*")]),
            Some(RejectionKind::Missing),
        ),
        (
            "scope",
            layer().require("write"),
            plain(),
            Some(RejectionKind::InsufficientScope),
        ),
        (
            "typo",
            layer(),
            request([(X_API_KEY, &key.replace("acme_", "acme-"))]),
            Some(RejectionKind::Invalid),
        ),
        (
            "joined",
            layer(),
            request([(X_API_KEY, &format!("{key}, {key}"))]),
            Some(RejectionKind::Invalid),
        ),
        (
            "bytes",
            layer(),
            request([(X_API_KEY, [key.as_bytes(), b"\xff"].concat())]),
            Some(RejectionKind::Invalid),
        ),
        (
            "repeated",
            layer(),
            request([(X_API_KEY, key), (X_API_KEY, key)]),
            Some(RejectionKind::Ambiguous),
        ),
        (
            "two carriers",
            layer(),
            request([(X_API_KEY, key), (AUTHORIZATION, &bearer)]),
            Some(RejectionKind::Ambiguous),
        ),
        (
            "twin",
            layer(),
            request([("x-api-key", key), ("x_api_key", key)]),
            Some(RejectionKind::Ambiguous),
        ),
        (
            "connection",
            layer(),
            request([(X_API_KEY, key), (CONNECTION, "x-api-key")]),
            Some(RejectionKind::Ambiguous),
        ),
        (
            "path",
            layer(),
            with_uri(&format!("/orders/{key}")),
            Some(RejectionKind::KeyInUrl),
        ),
        (
            "query",
            layer(),
            with_uri(&format!("/?api_key={key}")),
            Some(RejectionKind::KeyInUrl),
        ),
        (
            "encoded",
            layer(),
            with_uri(&format!("/?k={percent}")),
            Some(RejectionKind::KeyInUrl),
        ),
        (
            "referer",
            layer(),
            request([
                (X_API_KEY, key.to_owned()),
                (REFERER, format!("https://example.com/?k={key}")),
            ]),
            Some(RejectionKind::KeyInUrl),
        ),
        (
            "referer alone",
            layer().optional(),
            request([(REFERER, format!("https://example.com/?k={key}"))]),
            None,
        ),
        (
            "forwarded URL",
            layer(),
            request([(FORWARDED_URL, format!("/?k={key}"))]),
            Some(RejectionKind::KeyInUrl),
        ),
        (
            "other scheme",
            layer().optional(),
            request([(AUTHORIZATION, format!("token {key}"))]),
            Some(RejectionKind::KeyMisplaced),
        ),
        (
            "cookie",
            layer().optional(),
            request([(COOKIE, format!("key={key}"))]),
            Some(RejectionKind::KeyMisplaced),
        ),
        (
            "grpc",
            layer().require("write"),
            as_grpc(request([(X_API_KEY, key)]), "application/grpc"),
            Some(RejectionKind::InsufficientScope),
        ),
        (
            "responder",
            layer()
                .require("write")
                .responder(|rejection| Response::new(format!("{rejection:?}").into())),
            plain(),
            Some(RejectionKind::InsufficientScope),
        ),
    ];
    canary_states(&canary, &mut outcomes, plain).await;
    for (name, layer, request, expected) in outcomes {
        evidence.debug(&format!("{name}: layer"), &layer);
        observe(&mut evidence, name, layer, request, expected).await;
    }

    let guard = RequireScopeLayer::new("read");
    #[cfg(feature = "tracing")]
    let guard = guard.observer(tower_api_key::TracingObserver::new());
    evidence.debug("guard", &guard);
    let service = guard.layer(Inner::new());
    let response = service.oneshot(plain()).await.unwrap();
    seen(
        &mut evidence,
        "guard alone",
        response,
        Some(RejectionKind::NotAuthenticated),
    )
    .await;

    let log = log.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&log);
    // The search would prove nothing if the log were empty.
    assert!(
        text.contains("x-api-key") && text.contains("Sensitive"),
        "{text}"
    );
    assert!(text.contains("no-store"), "{text}");
    #[cfg(feature = "tracing")]
    for word in ["authenticated", "key_in_url", "not_authenticated"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    evidence.add("log", log.clone());
    assert_eq!(evidence.leaks(key), [""; 0]);
}

type Outcome = (
    &'static str,
    ApiKeyLayer,
    Request<()>,
    Option<RejectionKind>,
);

/// The same key if it is unknown, too early, too late, in another ring, revoked, or without a store.
async fn canary_states(
    canary: &Canary,
    outcomes: &mut Vec<Outcome>,
    request: impl Fn() -> Request<()>,
) {
    let store = &canary.store;
    let shifted = |seconds: u64| Timestamp::from_unix(START.as_unix() - 100 + seconds);
    let record = Arc::clone(canary.issued.record());
    let elsewhere =
        Tapped::new(store).on_find(move |_, _, _| Lookup::Ready(Ok(Some(Arc::clone(&record)))));
    let other_realm = KeyRing::builder("acme")
        .clock(ManualClock::new(START))
        .build(elsewhere)
        .unwrap();

    let revoked_store = MemoryStore::new();
    let imported = KeyRing::builder("acme")
        .clock(ManualClock::new(START))
        .accept_imports()
        .build(revoked_store)
        .unwrap();
    let record = imported
        .import_plaintext(
            Grant::new("alice").expires_in(std::time::Duration::from_hours(24)),
            canary.key(),
        )
        .await
        .unwrap();
    imported
        .revoke(record.id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();

    let unavailable = || Lookup::Ready(Err(StoreError::unavailable("connection refused")));
    let pending = || {
        Lookup::Pending(Box::pin(async {
            Err(StoreError::unavailable("connection refused"))
        }))
    };
    let invalid = Some(RejectionKind::Invalid);
    let down = Some(RejectionKind::StoreUnavailable);
    for (name, ring, expected) in [
        ("unknown", ring_at(&MemoryStore::new(), START), invalid),
        ("too early", ring_at(store, shifted(0)), invalid),
        ("expired", ring_at(store, shifted(200)), invalid),
        ("other realm", other_realm, invalid),
        ("revoked", imported, invalid),
        (
            "pending",
            ring_over(Tapped::new(store).pending(), START),
            None,
        ),
        ("store down", failing(store, unavailable), down),
        ("store down later", failing(store, pending), down),
        (
            "store panics",
            failing(store, || panic!("no connection")),
            down,
        ),
    ] {
        outcomes.push((name, ApiKeyLayer::new(ring), request(), expected));
    }
}
