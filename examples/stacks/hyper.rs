//! The code of `docs/stacks/hyper.md`, as it stands there.
#![allow(clippy::print_stdout, reason = "the guide shows its reader a key")]

use std::{convert::Infallible, error::Error, future::ready};

use http_body_util::Full;
use hyper::{Method, Request, Response, body::Bytes};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_api_key::openapi::Security;
use tower_api_key::{Access, ApiKeyLayer, Grant, KeyRing, Rejection, RouteTable, SameBodyLayer};
use tower_api_key::{SpanFields, TracingObserver, VerifiedKey, request_span, store::MemoryStore};
use tower_http::trace::TraceLayer;
use tracing_subscriber::fmt::{fmt, format::FmtSpan};

type App<B> = BoxCloneService<Request<B>, Response<Full<Bytes>>, Infallible>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    fmt().with_span_events(FmtSpan::CLOSE).init();
    // First, because the metrics of a ring belong to the recorder that is there when it is built.
    let metrics = PrometheusBuilder::new();
    metrics
        .with_http_listener(([127, 0, 0, 1], 9000))
        .install()?;
    let ring = KeyRing::builder("shop").observer(TracingObserver::new());
    let ring = ring.metrics().build(MemoryStore::new())?;
    let alice = Grant::new("alice").scopes("orders:read");
    println!("x-api-key: {}", ring.issue(alice).await?.secret().expose());

    let trace = TraceLayer::new_for_http().make_span_with(request_span);
    let app = TowerToHyperService::new(trace.layer(app(ring)?.0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    loop {
        let stream = TokioIo::new(listener.accept().await?.0);
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(stream, app.clone()));
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
    let handlers = service_fn(move |request: Request<B>| {
        let answer = answer(&request, &document).map(Response::new);
        let answer = answer.unwrap_or_else(Rejection::into_response);
        ready(Ok(answer.map(Full::new)))
    });
    let app = SameBodyLayer::new(layer).layer(handlers);
    Ok((app.boxed_clone(), table))
}

fn answer<B>(request: &Request<B>, document: &Bytes) -> Result<Bytes, Rejection> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/openapi.json") => document.clone(),
        (&Method::GET, "/orders") => {
            let key = VerifiedKey::of(request.extensions())?;
            format!("orders of {}", key.subject()).into()
        }
        (&Method::POST, "/orders") => "placed".into(),
        _ => Bytes::new(), // HEAD
    })
}

#[cfg(test)]
mod tests {
    use tower_api_key::{KeyRing, store::MemoryStore, testing::Matrix};

    #[tokio::test]
    async fn every_wrong_request_is_refused() {
        let ring = KeyRing::builder("shop").build(MemoryStore::new()).unwrap();
        let (app, table) = super::app::<()>(ring.clone()).unwrap();
        Matrix::new(ring, table).check(app).await.unwrap();
    }
}
