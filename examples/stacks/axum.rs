//! The code of `docs/stacks/axum.md`, as it stands there.
#![allow(clippy::print_stdout, reason = "the guide shows its reader a key")]

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower_api_key::{
    Access, ApiKeyLayer, Grant, KeyRing, RouteTable, SpanFields, TracingObserver, VerifiedKey,
    guard::routes::Routes, openapi::Security, request_span, store::MemoryStore,
};
use tower_http::trace::TraceLayer;
use tracing_subscriber::fmt::{fmt, format::FmtSpan};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    fmt().with_span_events(FmtSpan::CLOSE).init();
    // First, because the metrics of a ring belong to the recorder that is there when it is built.
    let metrics = PrometheusBuilder::new().with_http_listener(([127, 0, 0, 1], 9000));
    metrics.install()?;
    let ring = KeyRing::builder("shop").observer(TracingObserver::new());
    let ring = ring.metrics().build(MemoryStore::new())?;
    let alice = Grant::new("alice").scopes("orders:read");
    println!("x-api-key: {}", ring.issue(alice).await?.secret().expose());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(ring)?.0).await?)
}

fn app(ring: KeyRing) -> Result<(Router, RouteTable), tower_api_key::Error> {
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new());
    // A route that has no line here is refused.
    let (router, table) = Routes::new()
        .get("/health", Access::Public, async || "up")
        .get("/orders", "orders:read", orders)
        .post("/orders", "orders:write", async || "placed")
        .build(layer.clone())?;
    let document = Security::of(&layer.routes(table.clone()))?.document("Shop", "1.0.0")?;
    let document = async move || ([(CONTENT_TYPE, "application/json")], document);
    let router = router
        .layer(TraceLayer::new_for_http().make_span_with(request_span))
        // A route that is added below the layers needs no key.
        .route("/openapi.json", get(document));
    Ok((router, table))
}

async fn orders(key: VerifiedKey) -> String {
    format!("orders of {}", key.subject())
}

#[tokio::test]
async fn every_wrong_request_is_refused() {
    let ring = KeyRing::builder("shop").build(MemoryStore::new()).unwrap();
    let (app, table) = app(ring.clone()).unwrap();
    let app = app.into_service::<axum::body::Body>();
    let matrix = tower_api_key::testing::Matrix::new(ring, table);
    matrix.check(app).await.unwrap();
}
