//! One known plaintext goes through every outcome, and nothing that anyone writes down holds it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, REFERER};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_api_key::store::{KeyStore, ListQuery, Lookup, MemoryStore, StoreError};
use tower_api_key::{
    ApiKeyLayer, Grant, Issued, KeyRing, ManualClock, Rejection, RejectionKind, RequireScopeLayer,
    RevocationReason, Source, Timestamp, VerifiedKey,
};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::ring::stores::Tapped;
use crate::support::{Inner, START, X_API_KEY, request};

/// Everything that was written down, and by whom.
#[derive(Default)]
struct Evidence(Vec<(String, Vec<u8>)>);

impl Evidence {
    fn add(&mut self, from: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.0.push((from.into(), text.into()));
    }

    fn debug(&mut self, from: &str, value: &impl Debug) {
        self.add(from, format!("{value:?} {value:#?}"));
    }

    /// Who wrote the canary down, in one spelling or another.
    fn leaks(&self, canary: &str) -> Vec<String> {
        let secret = &canary[canary.len() - 32..];
        let encoded = |text: &str, start: &str| -> String {
            let encode = |byte| format!("{start}{byte:02x}");
            text.bytes().map(encode).collect()
        };
        let list = format!("{:?}", &secret.as_bytes()[..26]);
        let needles = [
            // Without its checksum, the secret is as good as with it.
            secret[..26].to_ascii_lowercase(),
            encoded(&secret[..26], "%"),
            encoded(&secret[..26], ""),
            encoded(&secret[..26], "\\x"),
            list.trim_matches(['[', ']']).to_owned(),
        ];
        let mut leaks = Vec::new();
        for (from, text) in &self.0 {
            let text = String::from_utf8_lossy(text).to_ascii_lowercase();
            for needle in &needles {
                if text.contains(needle) {
                    leaks.push(format!("{from}: {needle}"));
                }
            }
        }
        leaks
    }
}

/// What a subscriber at TRACE writes, spans and events.
fn subscribe() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || Log(Arc::clone(&written)))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// A trace with all headers of request and response.
macro_rules! trace {
    () => {
        TraceLayer::new_for_http()
            .make_span_with(
                DefaultMakeSpan::new()
                    .level(Level::TRACE)
                    .include_headers(true),
            )
            .on_response(
                DefaultOnResponse::new()
                    .level(Level::TRACE)
                    .include_headers(true),
            )
    };
}

/// A key, and rings in which it fares differently.
struct Canary {
    issued: Issued,
    store: MemoryStore,
}

impl Canary {
    async fn new() -> Self {
        let store = MemoryStore::new();
        let ring = ring_at(&store, START);
        let grant = Grant::new("alice")
            .scopes(["read"])
            .unwrap()
            .not_before(START)
            .expires_in(Duration::from_secs(100));
        Self {
            issued: ring.issue(grant).await.unwrap(),
            store,
        }
    }

    fn key(&self) -> &str {
        self.issued.secret().expose()
    }

    fn ring(&self) -> KeyRing {
        ring_at(&self.store, START)
    }
}

fn ring_at(store: &MemoryStore, now: Timestamp) -> KeyRing {
    ring_over(store.clone(), now)
}

fn ring_over(store: impl KeyStore, now: Timestamp) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(now))
        .build(store)
        .unwrap()
}

fn failing(store: &MemoryStore, answer: fn() -> Lookup) -> KeyRing {
    ring_over(Tapped::new(store).on_find(move |_, _, _| answer()), START)
}

fn with_uri(uri: &str) -> Request<()> {
    Request::builder().uri(uri).body(()).unwrap()
}

/// Sends a request through the layer with a trace on either side, and keeps what all of them
/// have to say.
async fn observe(
    evidence: &mut Evidence,
    name: &str,
    layer: ApiKeyLayer,
    request: Request<()>,
    expected: Option<RejectionKind>,
) {
    // A trace asks for a body on both ways.
    let request = request.map(|()| Full::<Bytes>::default());
    let inner = Inner::new();
    let grpc = request.headers().contains_key("content-type");
    // In a URI it is in the log before any layer can refuse it.
    let in_uri = request.uri() != "/";
    let guarded = ServiceBuilder::new()
        .layer(layer)
        .layer(trace!())
        .service(inner.clone());
    let response = if in_uri {
        let response = guarded.oneshot(request).await.unwrap();
        seen(evidence, name, response, expected).await
    } else {
        let service = ServiceBuilder::new()
            .layer(SetSensitiveRequestHeadersLayer::new([
                X_API_KEY,
                AUTHORIZATION,
                REFERER,
                HeaderName::from_static("x_api_key"),
            ]))
            .layer(trace!())
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

/// Keeps a response, body and all, and the rejection in it.
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
    let percent: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();

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
            request([(REFERER, format!("https://example.com/?k={key}"))]),
            Some(RejectionKind::KeyInUrl),
        ),
        (
            "grpc",
            layer().require("write"),
            request([
                (X_API_KEY, key),
                ("content-type".parse().unwrap(), "application/grpc"),
            ]),
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
    // The search would be worth nothing in an empty log.
    assert!(
        text.contains("x-api-key") && text.contains("Sensitive"),
        "{text}"
    );
    assert!(text.contains("no-store"), "{text}");
    evidence.add("log", log.clone());
    assert_eq!(evidence.leaks(key), [""; 0]);
}

type Outcome = (
    &'static str,
    ApiKeyLayer,
    Request<()>,
    Option<RejectionKind>,
);

/// The same key where it is unknown, too early, too late, elsewhere, revoked, or without a store.
async fn canary_states(
    canary: &Canary,
    outcomes: &mut Vec<Outcome>,
    request: impl Fn() -> Request<()>,
) {
    let store = &canary.store;
    let shifted = |seconds: u64| Timestamp::from_unix(START.as_unix() - 100 + seconds);
    let record = Arc::new(canary.issued.record().clone());
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
        .import_plaintext(Grant::new("alice"), canary.key())
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

#[tokio::test]
async fn r06_debug_of_every_type_hides_the_key() {
    let canary = Canary::new().await;
    let (key, ring) = (canary.key(), canary.ring());
    let mut evidence = Evidence::default();
    let record = canary.issued.record();
    let verified = ring.verify(key.as_bytes()).await.unwrap();
    evidence.debug("issued", &canary.issued);
    evidence.debug("secret", canary.issued.secret());
    evidence.debug("record", record);
    evidence.debug("parts", &record.to_parts());
    evidence.debug("digest", record.digest());
    evidence.debug("id", &record.id());
    evidence.add("id", record.id().to_string());
    evidence.debug("verified", &verified);
    evidence.debug("ring", &ring);
    evidence.add("scanner", ring.scanner_pattern());
    evidence.debug("store", &canary.store);
    evidence.debug("listed", &ring.list(&ListQuery::new()).await.unwrap());
    evidence.debug("got", &ring.get(record.id()).await.unwrap());
    evidence.debug("found", &canary.store.find(ring.realm(), record.digest()));
    evidence.debug("layer", &ApiKeyLayer::new(ring.clone()));
    evidence.debug("service", &ApiKeyLayer::new(ring.clone()).layer(()));
    evidence.debug("guard service", &RequireScopeLayer::new("read").layer(()));
    let expected = format!("SecretKey(acme_{}_…)", record.id());
    assert_eq!(format!("{:?}", canary.issued.secret()), expected);
    assert_eq!(evidence.leaks(key), [""; 0]);

    let future = ApiKeyLayer::new(ring.clone())
        .layer(Inner::new())
        .call(request([(X_API_KEY, key)]));
    evidence.debug("future", &future);
    evidence.debug("accepted", &future.await.unwrap());
    let refused = ApiKeyLayer::new(ring.clone())
        .require("write")
        .layer(Inner::new());
    let refused = refused.oneshot(request([(X_API_KEY, key)])).await.unwrap();
    evidence.debug("refused", &refused);
    let header = HeaderValue::from_str(key).unwrap();
    assert_eq!(
        Evidence(vec![("x".into(), format!("{header:?}").into())])
            .leaks(key)
            .len(),
        1
    );

    // Every error that was made from the key, or next to it.
    let importing = KeyRing::builder("acme")
        .accept_imports()
        .build(MemoryStore::new())
        .unwrap();
    let alice = || Grant::new("alice");
    let errors = [
        importing
            .import_plaintext(alice(), &format!("{key},"))
            .await,
        importing
            .import_insecure_plaintext(alice(), &format!("{key} "))
            .await,
        importing.import_plaintext(Grant::new(""), key).await,
        importing
            .import_plaintext(Grant::new(format!("{key}\n")), key)
            .await,
        ring.import_plaintext(alice(), key).await,
        importing
            .import_plaintext(alice(), key)
            .await
            .and(importing.import_plaintext(alice(), key).await),
    ]
    .map(|outcome| outcome.map(|_| ()).unwrap_err());
    let parsed = [
        key.parse::<tower_api_key::KeyId>().map(|_| ()).unwrap_err(),
        key.parse::<tower_api_key::KeyDigest>()
            .map(|_| ())
            .unwrap_err(),
        key.parse::<RevocationReason>().map(|_| ()).unwrap_err(),
        format!("{key} ")
            .parse::<tower_api_key::Scope>()
            .map(|_| ())
            .unwrap_err(),
        format!("{key}\"")
            .parse::<tower_api_key::Realm>()
            .map(|_| ())
            .unwrap_err(),
        KeyRing::builder(key)
            .build(MemoryStore::new())
            .map(|_| ())
            .unwrap_err(),
    ];
    for error in errors.iter().chain(&parsed) {
        evidence.debug("error", error);
        evidence.add("error", error.to_string());
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            evidence.debug("source", &error);
            evidence.add("source", error.to_string());
            source = error.source();
        }
    }
    for presented in [key.to_owned(), format!("{key}x"), key.to_lowercase()] {
        let other = ring_at(&MemoryStore::new(), START);
        let error = other
            .verify(presented.as_bytes())
            .await
            .map(|_| ())
            .unwrap_err();
        evidence.debug("verify error", &error);
        evidence.add("verify error", error.to_string());
    }
    assert_eq!(evidence.leaks(key), [""; 0]);
}

#[tokio::test]
async fn r06_a_store_that_panics_with_all_it_knows_does_not_know_the_key() {
    let canary = Canary::new().await;
    let panics = Arc::new(Mutex::new(Evidence::default()));
    let texts = Arc::clone(&panics);
    // Other tests may panic meanwhile; what they say goes the usual way as well.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        texts.lock().unwrap().add("panic", panic.to_string());
        usual(panic);
    }));
    for later in [false, true] {
        let panicking = Tapped::new(&canary.store).on_find(move |store, realm, digest| {
            let known = format!("a store in ruins: {store:?} {realm:?} {digest:?}");
            assert!(later, "{known}");
            Lookup::Pending(Box::pin(async move { panic!("{known}") }))
        });
        let ring = ring_over(panicking, START);
        let error = ring
            .verify(canary.key().as_bytes())
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.to_string(), "key store unavailable");
    }
    let panics = panics.lock().unwrap();
    let ruins =
        |(_, text): &&(String, Vec<u8>)| String::from_utf8_lossy(text).contains("a store in ruins");
    assert_eq!(panics.0.iter().filter(ruins).count(), 2);
    assert_eq!(panics.leaks(canary.key()), [""; 0]);
}

/// What the tests above rely on: the search finds a key that a log does hold. A trace outside
/// sees the header before the layer does, so it needs `SetSensitiveRequestHeadersLayer`.
#[tokio::test]
async fn a_trace_outside_without_sensitive_headers_is_found_out() {
    let (log, _guard) = subscribe();
    let canary = Canary::new().await;
    let service = ServiceBuilder::new()
        .layer(trace!())
        .layer(ApiKeyLayer::new(canary.ring()))
        .service(Inner::new());
    let request = request([(X_API_KEY, canary.key())]).map(|()| Full::<Bytes>::default());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), http::StatusCode::OK);
    let mut evidence = Evidence::default();
    evidence.add("log", log.lock().unwrap().clone());
    assert_eq!(evidence.leaks(canary.key()).len(), 1);

    for spelling in [
        canary.key().to_owned(),
        canary.key()[18..].to_owned(),
        canary.key()[18..44].to_uppercase(),
        canary
            .key()
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect(),
        canary
            .key()
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        format!("{:?}", canary.key().as_bytes()),
    ] {
        let mut evidence = Evidence::default();
        evidence.add("text", format!("before{spelling}after"));
        assert_eq!(evidence.leaks(canary.key()).len(), 1, "{spelling}");
    }
}
