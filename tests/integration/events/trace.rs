//! The events as `tracing` has them: levels, fields, and no line that a subject could forge.

mod failures;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use tower::Layer as _;
use tower_api_key::{
    ApiKeyLayer, EventKind, Grant, KeyRing, ManualClock, RequireScopeLayer, RevocationReason,
    TracingObserver,
};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::requests::{cases, fixture};
use crate::stores::{Outcome, ScriptedStore};
use crate::support::{IMPORTED, Inner, START, issue, ring, send, with_key};

type Fields = BTreeMap<&'static str, String>;

/// Keeps the level and the fields of each event of the crate.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(Level, Fields)>>>);

impl<S: tracing::Subscriber> Layer<S> for Collector {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "tower_api_key"
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Visitor(Fields);
        impl Visit for Visitor {
            fn record_str(&mut self, field: &Field, value: &str) {
                self.0.insert(field.name(), value.to_owned());
            }
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                panic!("{} is no text: {value:?}", field.name());
            }
        }
        let mut visitor = Visitor(Fields::new());
        event.record(&mut visitor);
        self.0
            .lock()
            .unwrap()
            .push((*event.metadata().level(), visitor.0));
    }
}

impl Collector {
    #[track_caller]
    fn assert(&self, expected: &[(Level, &[(&'static str, &str)])]) {
        let expected: Vec<(Level, Fields)> = expected
            .iter()
            .map(|(level, fields)| {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (*name, (*value).to_owned()));
                (*level, fields.collect())
            })
            .collect();
        let told = std::mem::take(&mut *self.0.lock().unwrap());
        assert_eq!(told, expected);
    }
}

fn observed(store: &ScriptedStore, clock: &ManualClock) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .accept_imports()
        .observer(TracingObserver::new())
        .build(store.clone())
        .unwrap()
}

#[tokio::test]
async fn each_operation_has_its_level_and_fields() {
    let collector = Collector::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(collector.clone()));
    let ring = observed(&ScriptedStore::default(), &ManualClock::new(START));
    let (orders, alice) = (("realm", "orders"), ("subject", "alice"));

    let first = issue(&ring, "read write").await.record().id();
    let first = first.as_str();
    collector.assert(&[(
        Level::INFO,
        &[("kind", "issued"), orders, ("key_id", first), alice],
    )]);
    let rotated = ring.rotate(first.parse().unwrap(), Duration::from_mins(1));
    let second_id = rotated.await.unwrap().record().id();
    let second = second_id.as_str();
    collector.assert(&[(
        Level::INFO,
        &[
            ("kind", "rotated"),
            orders,
            ("key_id", second),
            alice,
            ("replaced", first),
        ],
    )]);
    ring.narrow(second_id, &"read".parse().unwrap())
        .await
        .unwrap();
    collector.assert(&[
        (
            Level::INFO,
            &[("kind", "narrowed"), orders, ("key_id", second), alice],
        ),
        (
            Level::INFO,
            &[
                ("kind", "revoked"),
                orders,
                ("key_id", first),
                alice,
                ("reason", "privilege_withdrawn"),
            ],
        ),
    ]);
    let third = ring.regrant(second_id, Grant::new("bob")).await.unwrap();
    let third = third.record().id();
    collector.assert(&[
        (
            Level::INFO,
            &[
                ("kind", "regranted"),
                orders,
                ("key_id", third.as_str()),
                ("subject", "bob"),
                ("replaced", second),
            ],
        ),
        (
            Level::INFO,
            &[
                ("kind", "revoked"),
                orders,
                ("key_id", second),
                alice,
                ("reason", "superseded"),
            ],
        ),
    ]);
    let imported = ring
        .import_plaintext(
            Grant::new("alice").expires_in(std::time::Duration::from_hours(24)),
            IMPORTED,
        )
        .await;
    let imported = imported.unwrap().id();
    collector.assert(&[(
        Level::INFO,
        &[
            ("kind", "imported"),
            orders,
            ("key_id", imported.as_str()),
            alice,
        ],
    )]);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn each_outcome_of_a_request_has_its_level_and_fields() {
    let collector = Collector::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(collector.clone()));
    let store = ScriptedStore::default();
    let ring = observed(&store, &ManualClock::new(START));
    let service = ApiKeyLayer::new(ring.clone())
        .require("read")
        .layer(Inner::new());
    let valid = issue(&ring, "read").await;
    let (id, key) = (valid.record().id(), valid.secret().expose());
    let id = id.as_str();
    let poor = issue(&ring, "list").await;
    let poor_id = poor.record().id();
    let old = issue(&ring, "read").await;
    let old_id = old.record().id();
    ring.rotate_now(old_id).await.unwrap();
    let unknown = issue(&self::ring(), "read").await;
    let unknown_id = unknown.record().id();
    std::mem::take(&mut *collector.0.lock().unwrap());
    let (orders, alice) = (("realm", "orders"), ("subject", "alice"));
    let rejected = ("kind", "rejected");

    send(&service, with_key(key)).await;
    collector.assert(&[(
        Level::DEBUG,
        &[("kind", "authenticated"), orders, ("key_id", id), alice],
    )]);
    send(&service, Request::new(())).await;
    collector.assert(&[(Level::INFO, &[rejected, orders, ("rejection", "missing")])]);
    send(&service, with_key(poor.secret().expose())).await;
    collector.assert(&[(
        Level::INFO,
        &[
            rejected,
            orders,
            ("key_id", poor_id.as_str()),
            alice,
            ("rejection", "insufficient_scope"),
        ],
    )]);
    send(&service, with_key(unknown.secret().expose())).await;
    collector.assert(&[(
        Level::INFO,
        &[
            rejected,
            orders,
            ("claimed_key_id", unknown_id.as_str()),
            ("rejection", "invalid"),
            ("cause", "unknown"),
        ],
    )]);
    let leaking = Request::builder().uri(format!("/?k={key}")).body(());
    send(&service, leaking.unwrap()).await;
    collector.assert(&[
        (
            Level::WARN,
            &[
                ("kind", "key_in_url"),
                orders,
                ("claimed_key_id", id),
                ("place", "uri"),
            ],
        ),
        (
            Level::INFO,
            &[
                rejected,
                orders,
                ("claimed_key_id", id),
                ("place", "uri"),
                ("rejection", "key_in_url"),
            ],
        ),
    ]);
    send(&service, with_key(old.secret().expose())).await;
    let old_id = ("key_id", old_id.as_str());
    collector.assert(&[
        (Level::WARN, &[("kind", "reuse"), orders, old_id, alice]),
        (
            Level::INFO,
            &[
                rejected,
                orders,
                old_id,
                alice,
                ("rejection", "invalid"),
                ("cause", "replaced"),
            ],
        ),
    ]);
    store.answer(Outcome::Error);
    send(&service, with_key(key)).await;
    collector.assert(&[(
        Level::ERROR,
        &[
            rejected,
            orders,
            ("claimed_key_id", id),
            ("rejection", "store_unavailable"),
            ("failure", "the store is unavailable: the disk is gone"),
        ],
    )]);
    let guard = RequireScopeLayer::new("read").observer(TracingObserver::new());
    send(&guard.layer(Inner::new()), with_key(key)).await;
    collector.assert(&[(
        Level::ERROR,
        &[rejected, ("rejection", "not_authenticated")],
    )]);
    ring.revoke(valid.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    collector.assert(&[(
        Level::INFO,
        &[
            ("kind", "revoked"),
            orders,
            ("key_id", id),
            alice,
            ("reason", "key_compromise"),
        ],
    )]);
}

#[derive(Clone, Default)]
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

impl Log {
    /// A log, and the subscriber that writes everything to it.
    fn new() -> (Self, impl tracing::Subscriber + Send + Sync) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn r06_no_outcome_writes_a_secret() {
    let (log, subscriber) = Log::new();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fixture = fixture(false);
    let (cases, secrets) = cases(&fixture).await;
    let layer = ApiKeyLayer::new(fixture.ring.clone()).require("read");
    let service = layer.observer(TracingObserver::new()).layer(Inner::new());
    let mut count = 0;
    for (_, request, expected) in cases {
        send(&service, request).await;
        // The reuse is for the ring's observer.
        count += expected
            .iter()
            .filter(|told| told.kind != EventKind::Reuse)
            .count();
    }
    let text = log.text();
    assert_eq!(text.lines().count(), count, "{text}");
    for secret in &secrets {
        // Without its checksum, the secret is as valuable as with it.
        let secret = &secret[secret.len() - 32..secret.len() - 6];
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_subject_forges_no_field() {
    let (log, subscriber) = Log::new();
    let _guard = tracing::subscriber::set_default(subscriber);
    let store = ScriptedStore::default();
    let ring = observed(&store, &ManualClock::new(START));
    let issued = issue(&ring, "read").await;
    let id = issued.record().id();
    store.edit(id, |parts| {
        parts.subject = "alice\" kind=\"issued\" subject=\"root\"".parse().unwrap();
    });
    let service = ApiKeyLayer::new(ring).layer(Inner::new());
    // It received the issue event.
    log.0.lock().unwrap().clear();
    send(&service, with_key(issued.secret().expose())).await;
    let text = log.text();
    let expected = format!(
        "DEBUG tower_api_key: kind=\"authenticated\" realm=\"orders\" key_id=\"{id}\" \
         subject=\"alice\\\" kind=\\\"issued\\\" subject=\\\"root\\\"\"\n"
    );
    assert_eq!(text, expected);
}
