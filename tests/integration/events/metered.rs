//! Events, look-ups and keys as metrics.
#![expect(clippy::float_cmp, reason = "the figures are exact")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tower::Layer;
use tower_api_key::store::{
    BoxFuture, Change, KeyStore, ListQuery, Lookup, MemoryStore, Page, StoreError, StoreErrorKind,
};
use tower_api_key::testing;
use tower_api_key::{
    ApiKeyLayer, EventKind, Grant, InvalidCause, KeyDigest, KeyRing, KeyRingBuilder, ManualClock,
    MetricsObserver, Observer, Realm, RejectionKind, RequireScopeLayer, RevocationReason,
    observer_fn,
};

use super::requests::{cases, fixture};
use super::{Recorder, Told, about, nameless, rejected};
use crate::floods::WellFormed;
use crate::stores::{Outcome, scripted_ring_with};
use crate::support::{Inner, START, issue, poll_once, send, with_key};

/// Samples by their names with labels.
type Samples = BTreeMap<String, f64>;

/// Buckets, so that durations are a histogram.
pub(crate) fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new();
    builder
        .set_buckets(&[0.01, 0.1, 1.0])
        .unwrap()
        .build_recorder()
}

pub(crate) fn samples(handle: &PrometheusHandle) -> Samples {
    let text = handle.render();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// The samples that differ from before, and by how much.
fn risen(before: &Samples, after: &Samples) -> Samples {
    let before = |name: &String| before.get(name).copied().unwrap_or_default();
    let risen = after
        .iter()
        .map(|(name, value)| (name.clone(), value - before(name)));
    risen.filter(|(_, by)| *by != 0.0).collect()
}

fn counted(told: &[Told]) -> Samples {
    let mut counted = Samples::new();
    for told in told {
        let realm = told.realm.as_deref().unwrap_or_default();
        let name = match told.kind {
            EventKind::Authenticated => outcome(realm, "authenticated", "none"),
            EventKind::Rejected { kind, cause } => outcome(
                realm,
                kind.as_str(),
                cause.map_or("none", InvalidCause::as_str),
            ),
            kind => event(realm, kind.as_str()),
        };
        *counted.entry(name).or_default() += 1.0;
    }
    counted
}

fn outcome(realm: &str, outcome: &str, cause: &str) -> String {
    format!(r#"api_key_requests_total{{realm="{realm}",outcome="{outcome}",cause="{cause}"}}"#)
}

fn event(realm: &str, event: &str) -> String {
    format!(r#"api_key_events_total{{realm="{realm}",event="{event}"}}"#)
}

/// Only those of requests and other events.
fn counters(mut samples: Samples) -> Samples {
    samples.retain(|name, _| name.contains("_total{"));
    samples
}

#[tokio::test]
async fn each_outcome_is_counted_once_by_its_kind_and_cause() {
    for later in [false, true] {
        let recorder = recorder();
        let handle = recorder.handle();
        let _guard: LocalRecorderGuard<'_> = metrics::set_default_local_recorder(&recorder);
        let fixture = fixture(later);
        let (cases, _) = cases(&fixture).await;
        let layer = ApiKeyLayer::new(fixture.ring.clone()).require("read");
        let service = layer.layer(Inner::new());
        for (name, request, told) in cases {
            let before = samples(&handle);
            send(&service, request).await;
            let risen = counters(risen(&before, &samples(&handle)));
            assert_eq!(risen, counted(&told), "{name}, later: {later}");
        }
        // The refusal of a guard is an outcome too.
        let guarded = ApiKeyLayer::new(fixture.ring.clone())
            .layer(RequireScopeLayer::new("write").layer(Inner::new()));
        let issued = issue(&fixture.ring, "read").await;
        let before = samples(&handle);
        send(&guarded, with_key(issued.secret().expose())).await;
        let lacking = outcome("orders", "insufficient_scope", "none");
        assert_eq!(
            counters(risen(&before, &samples(&handle))),
            [(lacking, 1.0)].into()
        );
    }
}

#[tokio::test]
async fn counters_by_themselves_count_the_same_and_an_observer_beside_them_hears_whose_key_it_was()
{
    let recorder = recorder();
    let handle = recorder.handle();
    let _guard: LocalRecorderGuard<'_> = metrics::set_default_local_recorder(&recorder);
    let builder = KeyRing::builder("acme").realm("orders").metrics();
    let ring = builder.build(MemoryStore::new()).unwrap();
    let issued = issue(&ring, "read").await;
    let key = || with_key(issued.secret().expose());
    let observer = Recorder::default();
    let alone = ApiKeyLayer::new(ring);
    let counting = alone.clone().observer(MetricsObserver::new());
    let beside = alone.clone().observer(observer.clone());

    let admitted = EventKind::Authenticated;
    let refused = rejected(RejectionKind::InsufficientScope);
    // A counter that is of no ring has no realm.
    for (name, layer, realms, told) in [
        ("alone", &alone, &["orders"][..], vec![]),
        ("another counter", &counting, &["orders", ""], vec![]),
        ("an observer", &beside, &["orders"], vec![admitted, refused]),
    ] {
        let before = samples(&handle);
        let guarded = |scope| RequireScopeLayer::new(scope).layer(Inner::new());
        send(&layer.layer(guarded("read")), key()).await;
        send(&layer.layer(guarded("write")), key()).await;
        let optional = layer.clone().optional();
        send(&optional.layer(Inner::new()), Request::new(())).await;
        send(&layer.layer(Inner::new()), Request::new(())).await;
        let mut risen = risen(&before, &samples(&handle));
        risen.retain(|name, _| name.contains("requests_total{"));
        let kinds = ["authenticated", "insufficient_scope", "missing"];
        let counted = |realm| kinds.map(|kind| (outcome(realm, kind, "none"), 1.0));
        let expected = realms.iter().flat_map(|realm| counted(realm));
        assert_eq!(risen, expected.collect(), "{name}");
        let about = |kind| about(kind, issued.record());
        let mut expected: Vec<Told> = told.into_iter().map(about).collect();
        if !expected.is_empty() {
            let missing = nameless(rejected(RejectionKind::Missing), None);
            expected.push(missing);
        }
        assert_eq!(observer.take(), expected, "{name}");
    }
}

#[test]
fn each_kind_of_event_has_a_counter_from_the_start() {
    let recorder = recorder();
    let handle = recorder.handle();
    let observer = metrics::with_local_recorder(&recorder, MetricsObserver::new);
    let before = samples(&handle);
    for told in testing::events() {
        let earlier = samples(&handle);
        observer.observe(&told);
        let risen = risen(&earlier, &samples(&handle));
        assert_eq!(risen.len(), 1, "{told:?}");
        let name = risen.keys().next().unwrap();
        assert!(before.contains_key(name), "{told:?}: {name}");
        assert!(!name.contains("other\""), "{told:?}: {name}");
    }
}

/// Nothing that a client sends, and no key or subject that is added, makes a series.
#[tokio::test]
async fn r23_a_flood_adds_no_series() {
    let recorder = recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (ring, _, store) = scripted_ring_with(KeyRingBuilder::metrics);
    let layer = ApiKeyLayer::new(ring.clone()).require("read");
    let service = layer.layer(Inner::new());
    // One look-up of each result, because a histogram is shown with its first sample.
    let known = issue(&ring, "read").await;
    send(&service, with_key(known.secret().expose())).await;
    let mut flood = WellFormed::new("acme");
    send(&service, with_key(&flood.next())).await;
    let before = samples(&handle);

    for number in 0..200 {
        let grant = Grant::new(format!("subject{number}")).scopes(["read"]);
        let issued = ring.issue(grant).await.unwrap();
        send(&service, with_key(issued.secret().expose())).await;
        let id = issued.record().id();
        ring.revoke(id, RevocationReason::Unspecified)
            .await
            .unwrap();
        send(&service, with_key(issued.secret().expose())).await;
    }
    for number in 0..10_000 {
        let key = flood.next();
        let mut request = with_key(&key);
        *request.uri_mut() = format!("/{number}").parse().unwrap();
        *request.method_mut() = format!("M{number}").parse().unwrap();
        send(&service, request).await;
        let uri = format!("/{number}?k={key}");
        send(&service, Request::get(uri).body(()).unwrap()).await;
    }
    assert!(store.finds() > 10_000);
    let after = samples(&handle);
    assert!(
        before.keys().eq(after.keys()),
        "{:?}",
        risen(&before, &after)
    );
    let unknown = outcome("orders", "invalid", "unknown");
    assert_eq!(after[&unknown] - before[&unknown], 10_000.0);
    for name in after.keys() {
        assert!(
            !name.contains("subject") && !name.contains("acme"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn look_ups_are_measured_by_their_results_and_those_in_flight_counted() {
    let recorder = recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (ring, clock, store) =
        scripted_ring_with(|builder| builder.metrics().max_pending_lookups(7));
    let key = issue(&ring, "read").await.into_secret();
    let unknown = WellFormed::new("acme").next();
    let in_flight = r#"api_key_lookups_in_flight{realm="orders"}"#;
    let limit = r#"api_key_lookups_in_flight_limit{realm="orders"}"#;
    let found = samples(&handle);
    assert_eq!((found[in_flight], found[limit]), (0.0, 7.0));

    store.hold();
    for (place, key, outcome, result) in [
        (0, key.expose(), Outcome::Honest, "found"),
        (1, &unknown, Outcome::Honest, "unknown"),
        (2, key.expose(), Outcome::Error, "failed"),
    ] {
        let mut verdict = Box::pin(ring.verify(key.as_bytes()));
        assert!(poll_once(&mut verdict).is_pending());
        assert_eq!(samples(&handle)[in_flight], 1.0, "{result}");
        clock.advance(Duration::from_millis(250));
        store.release(place, outcome);
        let _ = verdict.await;
        let after = samples(&handle);
        assert_eq!(after[in_flight], 0.0, "{result}");
        let of = |part: &str| {
            after[&format!(
                r#"api_key_lookup_duration_seconds_{part}{{realm="orders",result="{result}"}}"#
            )]
        };
        assert_eq!((of("count"), of("sum")), (1.0, 0.25), "{result}");
    }
    // A client that hangs up, of a store without tasks.
    let mut verdict = Box::pin(ring.verify(key.expose().as_bytes()));
    assert!(poll_once(&mut verdict).is_pending());
    drop(verdict);
    let after = samples(&handle);
    assert_eq!(after[in_flight], 0.0);
    let abandoned = r#"api_key_lookup_duration_seconds_count{realm="orders",result="abandoned"}"#;
    assert_eq!(after[abandoned], 1.0);

    // One that the store answers at once.
    store.answer(Outcome::Honest);
    ring.verify(key.expose().as_bytes()).await.unwrap();
    let found = r#"api_key_lookup_duration_seconds_count{realm="orders",result="found"}"#;
    assert_eq!(samples(&handle)[found], 2.0);
}

#[tokio::test]
async fn what_an_observer_does_not_take_is_counted_and_look_ups_in_memory_are_not() {
    let recorder = recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let full = observer_fn(MetricsObserver::dropped);
    let broken = observer_fn(|_| panic!("the observer"));
    let ring = KeyRing::builder("acme")
        .observer((full, broken))
        .metrics()
        .build(MemoryStore::new())
        .unwrap();
    let key = issue(&ring, "read").await.into_secret();
    let dropped = r#"api_key_events_dropped_total{realm="acme"}"#;
    let after = samples(&handle);
    assert_eq!(after[dropped], 2.0);
    assert_eq!(after[&event("acme", "issued")], 1.0);
    ring.verify(key.expose().as_bytes()).await.unwrap();
    let measured = samples(&handle);
    let mut look_ups = measured
        .iter()
        .filter(|(name, _)| name.contains("duration"));
    assert!(look_ups.all(|(_, count)| *count == 0.0));
}

/// A store whose lists fail if the test says so.
#[derive(Clone, Default)]
struct Failing {
    records: MemoryStore,
    fails: Arc<AtomicBool>,
}

impl Failing {
    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }
}

impl KeyStore for Failing {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.records.find(realm, digest)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.records.commit(change)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        if self.fails.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(StoreErrorKind::Unavailable.into())));
        }
        self.records.list(realm, query)
    }

    crate::support::forward!(records: revoke, get, purge, record_uses, last_uses);
}

#[tokio::test]
async fn keys_are_counted_page_by_page_and_a_failure_leaves_the_gauges() {
    const DAY: Duration = Duration::from_hours(24);

    let recorder = recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let heard = Recorder::default();
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone());
    let store = Failing::default();
    let ring = builder
        .observer(heard.clone())
        .build(store.clone())
        .unwrap();
    for days in [7, 8, 30, 31] {
        let grant = Grant::new("alice").expires_in(DAY * days);
        ring.issue(grant).await.unwrap();
    }
    let revoked = ring.issue(Grant::new("bob")).await.unwrap().record().id();
    ring.revoke(revoked, RevocationReason::Unspecified)
        .await
        .unwrap();
    for _ in 0..1_000 {
        ring.issue(Grant::new("carol")).await.unwrap();
    }
    heard.take();

    let mut counting = Box::pin(ring.report_key_counts(DAY));
    // Two pauses, between three pages.
    for _ in 0..3 {
        assert!(poll_once(&mut counting).is_pending());
        clock.advance(Duration::from_millis(50));
    }
    let gauges = || {
        let found = samples(&handle);
        let expiring = |within| {
            found[&format!(r#"api_key_expiring_keys{{realm="orders",within="{within}"}}"#)]
        };
        let live = found[r#"api_key_live_keys{realm="orders"}"#];
        (live, expiring("7d"), expiring("30d"))
    };
    assert_eq!(gauges(), (1_004.0, 1.0, 3.0));

    store.fail(true);
    clock.advance(DAY);
    assert!(poll_once(&mut counting).is_pending());
    assert_eq!(gauges(), (1_004.0, 1.0, 3.0));
    let kinds: Vec<_> = heard.take().into_iter().map(|told| told.kind).collect();
    assert_eq!(kinds, [EventKind::UpkeepFailed]);

    store.fail(false);
    for _ in 0..4 {
        clock.advance(DAY);
        assert!(poll_once(&mut counting).is_pending());
    }
    assert_eq!(gauges().1, 2.0);
}
