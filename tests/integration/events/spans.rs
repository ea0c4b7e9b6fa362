//! What a layer records in the span of a request.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::pending;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{Empty, Full};
use tower::{Layer, Service, service_fn};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, EventKind, KeyId, KeyRing, RequireScopeLayer, Requirement, ResponseGuardLayer,
    SpanFields, TracingObserver, VerifiedKey, request_span,
};
use tower_http::trace::{HttpMakeClassifier, TraceLayer};
use tracing::Span;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::Told;
use super::requests::{cases, fixture};
use crate::support::{Inner, Whole, issue, key, poll_once, ring, send, with_key};

type Body = Empty<Bytes>;
type Fields = BTreeMap<String, String>;

/// Keeps the fields of each span, in the order of the spans.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    fields: Vec<Fields>,
    places: HashMap<u64, usize>,
}

struct Values<'a>(&'a mut Fields);

impl Visit for Values<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let before = self.0.insert(field.name().to_owned(), value.to_owned());
        assert_eq!(before, None, "{} is recorded twice", field.name());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        panic!("{} is no text: {value:?}", field.name());
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut kept = self.0.lock().unwrap();
        let mut fields = Fields::new();
        attributes.record(&mut Values(&mut fields));
        let place = kept.fields.len();
        kept.fields.push(fields);
        kept.places.insert(id.into_u64(), place);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut kept = self.0.lock().unwrap();
        let place = kept.places[&id.into_u64()];
        values.record(&mut Values(&mut kept.fields[place]));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.0.lock().unwrap().places.remove(&id.into_u64());
    }
}

impl Spans {
    /// The fields of the only span since the last call, which is closed.
    #[track_caller]
    fn take(&self) -> Fields {
        let mut kept = self.0.lock().unwrap();
        assert_eq!(kept.fields.len(), 1);
        assert!(kept.places.is_empty(), "the span is still open");
        kept.fields.remove(0)
    }

    /// Those of them that a layer records.
    #[track_caller]
    fn caller(&self) -> Fields {
        let mut fields = self.take();
        fields.retain(|name, _| name.starts_with("api_key.") || name.starts_with("enduser."));
        fields
    }

    /// Sends a request, and keeps its spans.
    async fn hear<S, ResBody>(&self, service: &S, request: Request<()>) -> Whole
    where
        S: Service<Request<Body>, Response = Response<ResBody>, Error = Infallible> + Clone,
        ResBody: http_body::Body<Data = Bytes, Error: Debug>,
    {
        let subscriber = tracing_subscriber::registry().with(self.clone());
        let answer = send(service, with_body(request));
        answer.with_subscriber(subscriber).await
    }
}

fn with_body(request: Request<()>) -> Request<Body> {
    request.map(|()| Body::new())
}

/// The layer that makes the spans.
fn trace() -> TraceLayer<HttpMakeClassifier, fn(&Request<Body>) -> Span> {
    TraceLayer::new_for_http().make_span_with(request_span::<Body> as _)
}

fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Fields {
    let fields = fields.into_iter();
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    fields.collect()
}

/// What the span of a request has whose last event is this.
fn expected(told: &[Told], with_subject: bool) -> Fields {
    let told = told.last().unwrap();
    let refusal = match told.kind {
        EventKind::Rejected { kind, .. } => Some(kind.as_str()),
        _ => None,
    };
    let subject = told.subject.as_deref().filter(|_| with_subject);
    let there = [
        ("api_key.id", told.key_id.as_ref().map(KeyId::as_str)),
        ("api_key.outcome", refusal.or(Some(told.kind.as_str()))),
        ("api_key.realm", told.realm.as_deref()),
        ("api_key.refusal", refusal),
        ("enduser.id", subject),
    ];
    let there = there.into_iter();
    fields(there.filter_map(|(name, value)| Some((name, value?))))
}

#[tokio::test]
async fn each_outcome_is_in_the_span_and_no_claimed_id() {
    let spans = Spans::default();
    for later in [false, true] {
        for with_subject in [false, true] {
            let fixture = fixture(later);
            let (cases, _) = cases(&fixture).await;
            let mut fields = SpanFields::new();
            if with_subject {
                fields = fields.enduser_id();
            }
            let layer = ApiKeyLayer::new(fixture.ring.clone()).span_fields(fields);
            let service = trace().layer(layer.require("read").layer(Inner::new()));
            for (name, request, told) in cases {
                spans.hear(&service, request).await;
                let expected = expected(&told, with_subject);
                assert_eq!(spans.caller(), expected, "{name}, later: {later}");
            }
        }
    }
}

/// What a guard refuses, and a request without a key that passes.
#[tokio::test]
async fn a_refusal_of_a_guard_is_in_the_span_too() {
    let (spans, ring) = (Spans::default(), ring());
    let issued = issue(&ring, "read").await;
    let (id, secret) = (issued.record().id(), issued.secret().expose());
    let layer = ApiKeyLayer::new(ring)
        .optional()
        .span_fields(SpanFields::new());
    let guarded = trace().layer(layer.layer(RequireScopeLayer::new("write").layer(Inner::new())));
    let open = trace().layer(layer.layer(Inner::new()));
    let realm = ("api_key.realm", "orders");

    spans.hear(&guarded, with_key(secret)).await;
    let (outcome, refusal) = ("api_key.outcome", "api_key.refusal");
    let of_key = fields([
        ("api_key.id", id.as_str()),
        (outcome, "authenticated"),
        realm,
        (refusal, "insufficient_scope"),
    ]);
    assert_eq!(spans.caller(), of_key);
    spans.hear(&guarded, Request::new(())).await;
    let anonymous = (outcome, "anonymous");
    assert_eq!(
        spans.caller(),
        fields([anonymous, realm, (refusal, "missing")])
    );
    spans.hear(&open, Request::new(())).await;
    assert_eq!(spans.caller(), fields([anonymous, realm]));
}

/// What becomes of a missing key is known when the handler has answered.
#[tokio::test]
async fn a_missing_key_that_is_handed_on_has_the_outcome_that_the_handler_makes_of_it() {
    let spans = Spans::default();
    let layer = ApiKeyLayer::new(ring()).span_fields(SpanFields::new());
    let layer = layer.allow_missing_or_failed();
    let (outcome, refusal) = ("api_key.outcome", "api_key.refusal");
    let realm = ("api_key.realm", "orders");

    let looking = service_fn(|request: Request<Body>| {
        let is_anonymous = VerifiedKey::of(request.extensions()).is_err();
        assert!(is_anonymous);
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let service = trace().layer(layer.clone().layer(looking));
    assert_eq!(spans.hear(&service, Request::new(())).await.status, 200);
    assert_eq!(spans.caller(), fields([(outcome, "anonymous"), realm]));
    let wrong = spans.hear(&service, with_key("orders_wrong")).await;
    assert_eq!(wrong.status, 200);
    let invalid = [(outcome, "invalid"), (refusal, "invalid"), realm];
    assert_eq!(spans.caller(), fields(invalid));

    let heedless = trace().layer(layer.layer(Inner::new()));
    assert_eq!(spans.hear(&heedless, Request::new(())).await.status, 401);
    let missing = [(outcome, "missing"), (refusal, "missing"), realm];
    assert_eq!(spans.caller(), fields(missing));
}

/// An authenticator is called further in than a layer, and its guard completes the response.
#[tokio::test]
async fn what_a_call_has_decided_is_in_the_span_too() {
    let (spans, ring) = (Spans::default(), ring());
    let issued = issue(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new());
    let authenticator = layer.authenticator();
    let by_call = service_fn(move |request: Request<Body>| {
        let authenticator = authenticator.clone();
        async move {
            let mut parts = request.into_parts().0;
            let write = Requirement::scope("write").unwrap();
            let key = authenticator.authenticate(&mut parts).await;
            let response = match key.and_then(|key| key.require(&write)) {
                Ok(()) => Response::new(Bytes::new()),
                Err(rejection) => rejection.into_response(),
            };
            Ok::<_, Infallible>(response.map(Full::new))
        }
    });
    let service = trace().layer(ResponseGuardLayer::new().layer(by_call));
    let (outcome, refusal) = ("api_key.outcome", "api_key.refusal");
    let realm = ("api_key.realm", "orders");

    let lacking = with_key(issued.secret().expose());
    assert_eq!(spans.hear(&service, lacking).await.status, 403);
    let of_key = fields([
        ("api_key.id", issued.record().id().as_str()),
        (outcome, "authenticated"),
        realm,
        (refusal, "insufficient_scope"),
    ]);
    assert_eq!(spans.caller(), of_key);
    assert_eq!(spans.hear(&service, Request::new(())).await.status, 401);
    let missing = fields([(outcome, "missing"), realm, (refusal, "missing")]);
    assert_eq!(spans.caller(), missing);
}

/// A response that is ready in another span, or in none, has lost its own.
#[tokio::test]
async fn a_refusal_is_recorded_in_the_span_of_its_request_or_nowhere() {
    let (spans, ring) = (Spans::default(), ring());
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new());
    let mut service = layer.layer(RequireScopeLayer::new("write").layer(Inner::new()));
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::with_default(subscriber, || {
        let span = request_span(&Request::new(()));
        let mut call = span.in_scope(|| Box::pin(service.call(with_body(with_key(&key)))));
        drop(span);
        let other = request_span(&Request::new(()));
        assert!(other.in_scope(|| poll_once(&mut call)).is_ready());
    });
    let kept = spans.0.lock().unwrap();
    assert_eq!(kept.fields[0]["api_key.outcome"], "authenticated");
    for fields in &kept.fields {
        assert!(!fields.contains_key("api_key.refusal"), "{fields:?}");
    }
}

/// The key is in the span before the handler runs, so that what the handler writes is of this key.
#[tokio::test]
async fn a_request_that_hangs_is_known() {
    let (spans, ring) = (Spans::default(), ring());
    let issued = issue(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new());
    let hanging =
        service_fn(|_: Request<Body>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let mut service = trace().layer(layer.layer(hanging));
    let (id, request) = (
        issued.record().id(),
        with_body(with_key(issued.secret().expose())),
    );
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::with_default(subscriber, || {
        let mut call = Box::pin(service.call(request));
        assert!(poll_once(&mut call).is_pending());
        let before = spans.0.lock().unwrap().fields[0].clone();
        assert_eq!(before["api_key.id"], id.as_str());
        assert_eq!(before["api_key.outcome"], "authenticated");
        drop(call);
    });
    assert!(!spans.caller().contains_key("api_key.refusal"));
}

#[tokio::test]
async fn nothing_is_recorded_unless_the_layer_is_told_to_and_the_span_declares_it() {
    let (spans, ring) = (Spans::default(), ring());
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring);
    let untold = trace().layer(layer.clone().layer(Inner::new()));
    spans.hear(&untold, with_key(&key)).await;
    assert_eq!(spans.caller(), Fields::new());

    let told = layer.span_fields(SpanFields::new()).layer(Inner::new());
    let other =
        |_: &Request<Body>| tracing::info_span!("other", api_key.realm = tracing::field::Empty);
    let in_other = TraceLayer::new_for_http()
        .make_span_with(other)
        .layer(told.clone());
    spans.hear(&in_other, with_key(&key)).await;
    assert_eq!(spans.take(), fields([("api_key.realm", "orders")]));

    // Without a span, and without a subscriber.
    assert_eq!(spans.hear(&told, with_key(&key)).await.status, 200);
    assert_eq!(send(&told, with_body(with_key(&key))).await.status, 200);
}

/// The layer keeps where the first of them has its fields.
#[tokio::test]
async fn spans_of_several_places_have_the_same_fields() {
    use tracing::field::Empty;

    let (spans, ring) = (Spans::default(), ring());
    let issued = issue(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new().enduser_id());
    let inner = layer.layer(Inner::new());
    let places: [fn(&Request<Body>) -> Span; 4] = [
        |_| tracing::info_span!("no key", api_key.outcome = Empty),
        |_| {
            tracing::info_span!(
                "no subject",
                api_key.realm = Empty,
                api_key.outcome = Empty,
                api_key.id = Empty
            )
        },
        |_| {
            tracing::info_span!(
                "another order",
                enduser.id = Empty,
                api_key.outcome = Empty,
                api_key.id = Empty,
                api_key.realm = Empty
            )
        },
        request_span,
    ];
    let id = issued.id();
    let all = fields([
        ("api_key.id", id.as_str()),
        ("api_key.outcome", "authenticated"),
        ("api_key.realm", "orders"),
        ("enduser.id", "alice"),
    ]);
    let mut declared = [all.clone(), all.clone(), all.clone(), all];
    declared[0].retain(|name, _| name == "api_key.outcome");
    declared[1].remove("enduser.id");
    for _ in 0..2 {
        for (place, declared) in places.iter().zip(&declared) {
            let trace = TraceLayer::new_for_http().make_span_with(*place);
            let request = with_key(issued.secret().expose());
            spans.hear(&trace.layer(inner.clone()), request).await;
            assert_eq!(&spans.caller(), declared);
        }
    }
}

/// A subscriber that panics changes no answer.
#[tokio::test]
async fn the_answer_does_not_depend_on_the_subscriber() {
    struct Panicking;
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Panicking {
        fn on_record(&self, _: &Id, _: &Record<'_>, _: Context<'_, S>) {
            panic!("the subscriber");
        }
    }

    let ring = ring();
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new());
    let service = trace().layer(layer.require("read").layer(Inner::new()));
    for (request, status) in [(with_key(&key), 200), (Request::new(()), 401)] {
        let subscriber = tracing_subscriber::registry().with(Panicking);
        let answer = send(&service, with_body(request));
        let response = answer.with_subscriber(subscriber).await;
        assert_eq!(response.status, status);
    }
}

/// Neither the span of the request nor an event in it has a key, wherever the request has it.
#[tokio::test]
async fn r06_a_span_has_no_key_from_the_url() {
    let spans = Spans::default();
    let ring = KeyRing::builder("acme")
        .observer(TracingObserver::new())
        .build(MemoryStore::new())
        .unwrap();
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new().enduser_id());
    let service = trace().layer(layer.layer(Inner::new()));
    for uri in [
        format!("/a/{key}/b"),
        format!("/a?k={key}"),
        format!("/a/%61{}", &key[1..]),
    ] {
        let request = Request::get(&uri).body(()).unwrap();
        assert_eq!(spans.hear(&service, request).await.status, 400);
        let span = spans.take();
        let secret = &key[key.len() - 32..];
        assert!(!format!("{span:?}").contains(secret), "{span:?}");
        assert!(span["url.path"].starts_with("/a"), "{span:?}");
        assert!(!span["url.path"].contains('?'), "{span:?}");
    }
}

#[tokio::test]
async fn the_names_of_a_span_are_few_whatever_clients_send() {
    let spans = Spans::default();
    let service = trace().layer(service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    }));
    for (method, of_request, of_span) in [
        (Method::GET, "GET", "GET"),
        (Method::TRACE, "TRACE", "TRACE"),
        ("get".parse().unwrap(), "_OTHER", "HTTP"),
        ("PURGE".parse().unwrap(), "_OTHER", "HTTP"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri("/orders/1")
            .body(())
            .unwrap();
        spans.hear(&service, request).await;
        let span = fields([
            ("http.request.method", of_request),
            ("otel.kind", "server"),
            ("otel.name", of_span),
            ("url.path", "/orders/1"),
        ]);
        assert_eq!(spans.take(), span);
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn in_axum_the_span_has_the_route() {
    let (spans, ring) = (Spans::default(), ring());
    let issued = issue(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new());
    let app = axum::Router::new()
        .route("/orders/{id}", axum::routing::get(|| async { "an order" }))
        .route_layer(layer.require("read"))
        .layer(TraceLayer::new_for_http().make_span_with(request_span));
    let mut request = with_key(issued.secret().expose());
    *request.uri_mut() = "/orders/1?page=2".parse().unwrap();
    assert_eq!(spans.hear(&app, request).await.status, 200);
    let span = fields([
        ("api_key.id", issued.record().id().as_str()),
        ("api_key.outcome", "authenticated"),
        ("api_key.realm", "orders"),
        ("http.request.method", "GET"),
        ("http.route", "/orders/{id}"),
        ("otel.kind", "server"),
        ("otel.name", "GET /orders/{id}"),
        ("url.path", "/orders/1"),
    ]);
    assert_eq!(spans.take(), span);
}
