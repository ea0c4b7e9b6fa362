//! One known plaintext goes through every outcome, and no output of any kind contains it.

mod outcomes;
mod types;

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key::{ApiKeyLayer, Grant, Issued, KeyRing, ManualClock, Timestamp};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, HttpMakeClassifier, TraceLayer};
use tracing::Level;

use tower_api_key_test_support::logs::subscribe;

use crate::support::{Inner, START, X_API_KEY, request};

/// Everything that was written, each with its origin.
#[derive(Default)]
struct Evidence(Vec<(String, Vec<u8>)>);

impl Evidence {
    fn add(&mut self, from: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.0.push((from.into(), text.into()));
    }

    fn debug(&mut self, from: &str, value: &impl Debug) {
        self.add(from, format!("{value:?} {value:#?}"));
    }

    /// The origins that wrote the canary, in any of its spellings.
    fn leaks(&self, canary: &str) -> Vec<String> {
        let secret = &canary[canary.len() - 32..];
        let list = format!("{:?}", &secret.as_bytes()[..26]);
        let needles = [
            // Without its checksum, the secret is as valuable as with it.
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

impl Evidence {
    /// The origins that wrote the digest, in hexadecimal digits or as a list of bytes.
    fn digests(&self, digest: &[u8]) -> Vec<&str> {
        let hex = digest.iter().map(|byte| format!("{byte:02x}"));
        let hex = hex.collect::<Vec<_>>().concat();
        let bytes = |separator: &str| {
            let bytes = digest.iter().map(u8::to_string);
            bytes.collect::<Vec<_>>().join(separator)
        };
        // `{:#?}` writes one byte per line, at any depth.
        let needles = [hex, bytes(",")];
        let shown = self.0.iter().filter(|(_, text)| {
            let text = String::from_utf8_lossy(text).to_ascii_lowercase();
            let packed: String = text.split_whitespace().collect();
            needles.iter().any(|needle| packed.contains(needle))
        });
        shown.map(|(from, _)| from.as_str()).collect()
    }
}

/// Every byte as this prefix and two hexadecimal digits.
fn encoded(text: &str, start: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| {
        format!("{encoded}{start}{byte:02x}")
    })
}

/// A trace with all headers of request and response.
fn trace() -> TraceLayer<HttpMakeClassifier> {
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
}

/// A key, and rings in which its outcome differs.
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
    let builder = KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(now));
    #[cfg(feature = "tracing")]
    let builder = builder.observer(tower_api_key::TracingObserver::new());
    builder.build(store).unwrap()
}

/// The check of the tests above: the search finds a key that a log does contain. A trace outside
/// sees the header before the layer does, so it needs `SetSensitiveRequestHeadersLayer`.
#[tokio::test]
async fn a_trace_outside_without_sensitive_headers_is_found_out() {
    let (log, _guard) = subscribe();
    let canary = Canary::new().await;
    let service = ServiceBuilder::new()
        .layer(trace())
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
        encoded(canary.key(), "%").to_uppercase(),
        encoded(canary.key(), ""),
        format!("{:?}", canary.key().as_bytes()),
    ] {
        let mut evidence = Evidence::default();
        evidence.add("text", format!("before{spelling}after"));
        assert_eq!(evidence.leaks(canary.key()).len(), 1, "{spelling}");
    }
}
