//! A service that says who called: traces over OTLP, metrics for Prometheus.
//!
//! `cargo run -p tower-api-key-tests --example monitored --features axum,metrics,replica,tracing` prints a curl line for
//! each case. `PORT` chooses the port, and `KEYS_DB` the file with the keys. Spans go to `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! if it is set. With the argument `replica`, keys are verified from memory. `docs/monitoring` has a board and alert
//! rules for what `/metrics` shows.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::net::TcpListener;
use tower_api_key::replica::Replica;
use tower_api_key::store::KeyStore;
use tower_api_key::{
    ApiKeyLayer, Grant, KeyRing, MetricsObserver, RequireScopeLayer, SpanFields, TracingObserver,
    VerifiedKey, request_span,
};
use tower_api_key_sqlite::SqliteStore;
use tower_http::trace::TraceLayer;
use tracing::{Instrument, Level, Span, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Of look-ups, in seconds: from a page in memory to the timeout of a ring.
const BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0];

#[tokio::main]
async fn main() -> Outcome<()> {
    // Before the ring is built: its metrics belong to the recorder that is installed then.
    let metrics = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .install_recorder()?;
    let traces = traces()?;

    let ring = KeyRing::builder("shop")
        .observer(TracingObserver::new())
        .metrics()
        .build(store().await?)?;
    let reader = ring
        .issue(Grant::new("alice").scopes("orders:read"))
        .await?;
    let writer = Grant::new("bob").scopes("orders:read orders:write");
    let writer = ring
        .issue(writer.expires_in(Duration::from_hours(48)))
        .await?;
    tokio::spawn(ring.report_key_counts(Duration::from_mins(15)));

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}; Ctrl-C ends it\n");
    let [read, write] = [&reader, &writer].map(|issued| issued.secret().expose());
    println!("a read             curl -i -H 'x-api-key: {read}' {url}/orders");
    println!("a write            curl -i -X POST -H 'x-api-key: {write}' {url}/orders");
    println!("scope lacking: 403 curl -i -X POST -H 'x-api-key: {read}' {url}/orders");
    println!("no key: 401        curl -i {url}/orders");
    println!("unknown key: 401   curl -i -H 'x-api-key: nonsense' {url}/orders");
    println!("key in a URL: 400  curl -i '{url}/orders?key={read}'");
    println!("metrics            curl -s {url}/metrics");

    let interrupted = async {
        tokio::signal::ctrl_c().await.ok();
    };
    axum::serve(listener, app(ring, metrics))
        .with_graceful_shutdown(interrupted)
        .await?;
    // Sends the last spans.
    if let Some(traces) = traces {
        tokio::task::spawn_blocking(move || traces.shutdown()).await??;
    }
    Ok(())
}

pub(crate) fn app(ring: KeyRing, metrics: PrometheusHandle) -> Router {
    let layer = ApiKeyLayer::new(ring)
        .require("orders:read")
        .span_fields(SpanFields::new().enduser_id());
    let create = post(create).route_layer(RequireScopeLayer::new("orders:write"));
    let trace = TraceLayer::new_for_http()
        .make_span_with(request_span)
        .on_response(|response: &Response<_>, _: Duration, span: &Span| {
            span.record("http.response.status_code", response.status().as_u16());
        });
    Router::new()
        .route("/orders", get(list).merge(create))
        .route_layer(layer)
        // Outside of the layer that records in its span.
        .layer(trace)
        // In production on a port that only Prometheus reaches.
        .route("/metrics", get(async move || show(&metrics)))
}

async fn list(key: VerifiedKey) -> String {
    format!("orders of {}\n", key.subject())
}

async fn create(key: VerifiedKey) -> StatusCode {
    // A task leaves the span of the request. This one has a span of its own within it.
    let shipping = async move { tracing::info!(target: "shop", "shipping for {}", key.subject()) };
    tokio::spawn(shipping.instrument(info_span!(target: "shop", "ship")));
    StatusCode::ACCEPTED
}

fn show(metrics: &PrometheusHandle) -> String {
    metrics.run_upkeep();
    metrics.render()
}

/// The keys in a file, or a copy of them in memory.
async fn store() -> Outcome<Arc<dyn KeyStore>> {
    let path = std::env::var_os("KEYS_DB").map_or_else(
        || std::env::temp_dir().join(format!("monitored-{}.db", std::process::id())),
        PathBuf::from,
    );
    let store = SqliteStore::open(path)?;
    if std::env::args().nth(1).as_deref() != Some("replica") {
        return Ok(Arc::new(store));
    }
    let options = Replica::options().observer(MetricsObserver::new());
    let (replica, follow) = options.follow(store)?;
    tokio::spawn(follow);
    tokio::spawn(replica.report_staleness(Duration::from_secs(1)));
    replica.ready().await?;
    Ok(Arc::new(replica))
}

/// Spans of the service and of this crate go to a collector. Those of the exporter itself do not.
fn traces() -> Outcome<Option<SdkTracerProvider>> {
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_none() {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("shop").build())
        .build();
    let ours = Targets::new()
        .with_target("tower_api_key", Level::INFO)
        .with_target("shop", Level::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
    tracing_subscriber::registry().with(ours).with(layer).init();
    Ok(Some(provider))
}
