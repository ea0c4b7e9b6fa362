//! A span that subscribers hear of.

use std::convert::Infallible;
use std::future::Ready;
use std::hint::black_box;
use std::mem;
use std::sync::Once;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;
use tracing::field::{Empty, Field, Visit};
use tracing::span::{Id, Record};
use tracing::{Span, Subscriber, info_span, record_all};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::subject::Inner;

/// Enters a span that this thread never leaves, of a subscriber that visits what is recorded, and keeps nothing.
pub(crate) fn enter() {
    static SUBSCRIBE: Once = Once::new();
    SUBSCRIBE.call_once(|| {
        let subscriber = Registry::default().with(Reader);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    // As `request_span` declares it.
    let span = info_span!(
        "request",
        api_key.id = Empty,
        api_key.realm = Empty,
        api_key.outcome = Empty,
        enduser.id = Empty,
        api_key.refusal = Empty,
        otel.name = "GET",
        otel.kind = "server",
        http.request.method = "GET",
        http.route = Empty,
        url.path = "/orders/1",
        http.response.status_code = Empty,
    );
    mem::forget(span.entered());
}

/// Records three fields of a request in its span: two before the inner service, and its outcome.
pub(crate) struct ByHand;

impl Service<Request<()>> for ByHand {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<()>>::poll_ready(&mut Inner, context)
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let (id, realm) = black_box(("0123456789AB", "default"));
        let span = Span::current();
        record_all!(span, api_key.id = id, api_key.realm = realm);
        let response = Inner.call(request);
        span.record("api_key.outcome", black_box("authenticated"));
        response
    }
}

struct Reader;

impl<S: Subscriber> Layer<S> for Reader {
    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut Values);
    }
}

struct Values;

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        black_box((field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        black_box((field, value));
    }
}
