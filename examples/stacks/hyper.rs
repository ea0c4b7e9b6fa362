//! The code of `docs/stacks/hyper.md`, as it stands there.
#![allow(clippy::print_stdout, reason = "the guide shows its reader a key")]

use std::{convert::Infallible, future::ready};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_api_key::{
    Access, ApiKeyLayer, Grant, KeyRing, ResponseBody, RouteTable, SpanFields, TracingObserver,
    VerifiedKey, openapi::Security, request_span, store::MemoryStore,
};
use tower_http::trace::TraceLayer;
use tracing_subscriber::fmt::{fmt, format::FmtSpan};

type App<B> = BoxCloneService<Request<B>, Response<ResponseBody<Full<Bytes>>>, Infallible>;

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

    let trace = TraceLayer::new_for_http().make_span_with(request_span);
    let app = TowerToHyperService::new(trace.layer(app(ring)?.0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    loop {
        let stream = TokioIo::new(listener.accept().await?.0);
        tokio::spawn(http1::Builder::new().serve_connection(stream, app.clone()));
    }
}

fn app<B: Send + 'static>(ring: KeyRing) -> Result<(App<B>, RouteTable), tower_api_key::Error> {
    // A route that has no line here is refused.
    let table = RouteTable::builder()
        .get("/openapi.json", Access::Public)
        .get("/orders", "orders:read")
        .post("/orders", "orders:write")
        .build()?;
    let layer = ApiKeyLayer::new(ring).routes(table.clone());
    let layer = layer.span_fields(SpanFields::new());
    let document = Bytes::from(Security::of(&layer)?.document("Shop", "1.0.0")?);
    let handlers = service_fn(move |it| ready(Ok(answer(&it, &document).map(Full::new))));
    Ok((layer.layer(handlers).boxed_clone(), table))
}

fn answer<B>(request: &Request<B>, document: &Bytes) -> Response<Bytes> {
    Response::new(match (request.method().as_str(), request.uri().path()) {
        ("GET", "/openapi.json") => document.clone(),
        ("GET", "/orders") => match VerifiedKey::of(request.extensions()) {
            Ok(key) => format!("orders of {}", key.subject()).into(),
            Err(rejection) => return rejection.into_response(),
        },
        ("POST", "/orders") => "placed".into(),
        _ => Bytes::new(), // HEAD
    })
}

#[tokio::test]
async fn every_wrong_request_is_refused() {
    let ring = KeyRing::builder("shop").build(MemoryStore::new()).unwrap();
    let (app, table) = app::<()>(ring.clone()).unwrap();
    let matrix = tower_api_key::testing::Matrix::new(ring, table);
    matrix.check(app).await.unwrap();
}
