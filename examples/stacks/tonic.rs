//! The code of `docs/stacks/tonic.md`, as it stands there, except for the line that includes the generated code.
#![allow(clippy::print_stdout, reason = "the guide shows its reader a key")]
#![allow(clippy::pedantic, reason = "generated code")]
#![allow(missing_docs, unreachable_pub, reason = "generated code")]

use metrics_exporter_prometheus::PrometheusBuilder;
use orders_server::{Orders, OrdersServer};
use tonic::{Request, Response, Status, transport::Server};
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RouteTable, VerifiedKey};
use tower_api_key::{SpanFields, TracingObserver, request_span, store::MemoryStore};
use tower_http::trace::TraceLayer;
use tracing_subscriber::fmt::{fmt, format::FmtSpan};

include!("../proto/shop.rs");

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

    let trace = TraceLayer::new_for_grpc().make_span_with(request_span);
    // A refusal is an event of the observer, and no error of the service.
    let server = Server::builder().layer(trace.on_failure(()));
    let mut server = server.layer(keys(ring)?.0);
    let server = server.add_service(OrdersServer::new(Shop));
    Ok(server.serve(([127, 0, 0, 1], 50051).into()).await?)
}

fn keys(ring: KeyRing) -> Result<(ApiKeyLayer, RouteTable), tower_api_key::Error> {
    // A method that has no line here is refused.
    let table = RouteTable::builder()
        .grpc("shop.Orders", "List", "orders:read")
        .build()?;
    let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new());
    Ok((layer.routes(table.clone()), table))
}

struct Shop;

#[tonic::async_trait]
impl Orders for Shop {
    async fn list(&self, request: Request<Nothing>) -> Result<Response<Text>, Status> {
        let key = VerifiedKey::of(request.extensions())
            .map_err(|it| Status::new(it.grpc_code().into(), it.detail()))?;
        let text = format!("orders of {}", key.subject());
        Ok(Response::new(Text { text }))
    }
}

#[tokio::test]
async fn every_wrong_call_is_refused() {
    let ring = KeyRing::builder("shop").build(MemoryStore::new()).unwrap();
    let (keys, table) = keys(ring.clone()).unwrap();
    let app = tonic::service::LayerExt::named_layer(&keys, OrdersServer::new(Shop));
    let matrix = tower_api_key::testing::Matrix::new(ring, table).grpc();
    matrix.check::<_, tonic::body::Body, _>(app).await.unwrap();
}
