//! API keys on hyper and tower alone.
//!
//! `cargo run --example quickstart` prints a curl line for each case. `PORT` chooses the port. The keys end
//! with the process. The example `embedded` of the package `tower-api-key-sqlite` keeps them in a file.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::{KeyStore, ListQuery, MemoryStore};
use tower_api_key::{ApiKeyLayer, Clock, Grant, KeyRing, ResponseBody, SystemClock, VerifiedKey};

type Reply = Response<Full<Bytes>>;
type Route<B> = BoxCloneService<Request<B>, Response<ResponseBody<Full<Bytes>>>, Infallible>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    serve(Arc::new(MemoryStore::new())).await
}

/// Serves until Ctrl-C, with the keys of a store.
pub(crate) async fn serve(store: Arc<dyn KeyStore>) -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::builder("demo").build(store)?;

    let app = app::<Incoming>(&ring);
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    // Minted after the port is bound, so that a failed start leaves no key that was never shown.
    let read = key_of(&ring, "alice", "read").await?;
    let write = key_of(&ring, "bob", "write").await?;
    println!("listening on {url}; Ctrl-C ends it\n");
    if [&read, &write].iter().any(|key| key.starts_with('<')) {
        println!("The store holds keys that were shown when they were issued: put them in.\n");
    }
    println!("no key needed      curl -i {url}/open");
    println!("any valid key      curl -i -H 'x-api-key: {read}' {url}/public");
    println!("no key: 401        curl -i {url}/public");
    println!("unknown key: 401   curl -i -H 'x-api-key: nonsense' {url}/public");
    println!("scope held         curl -i -X POST -H 'x-api-key: {write}' {url}/admin");
    println!("scope lacking: 403 curl -i -X POST -H 'x-api-key: {read}' {url}/admin");
    println!("key in a URL: 400  curl -i '{url}/public?key={read}'");
    println!(
        "HTTP/2             curl -i --http2-prior-knowledge -H 'x-api-key: {read}' {url}/public"
    );

    let server = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let service = TowerToHyperService::new(app.clone());
                let connection = server
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .into_owned();
                let connection = connections.watch(connection);
                // If a client disconnects in the middle, the others are not affected.
                tokio::spawn(async move { connection.await.ok() });
            }
            interrupt = &mut interrupted => {
                interrupt?;
                break;
            }
        }
    }
    drop(listener);
    println!("\nwaiting for open requests");
    if tokio::time::timeout(Duration::from_secs(10), connections.shutdown())
        .await
        .is_err()
    {
        println!("some did not end in 10 s");
    }
    Ok(())
}

/// A new key for this subject, or a placeholder if it already has one, because a store does not
/// know plaintexts.
async fn key_of(ring: &KeyRing, subject: &str, scope: &str) -> Result<String, Box<dyn Error>> {
    let held = ring.list(&ListQuery::new().subject(subject)).await?;
    let now = SystemClock.now();
    if held.iter().any(|record| record.is_live_at(now)) {
        return Ok(format!("<the key of {subject}>"));
    }
    let issued = ring.issue(Grant::new(subject).scopes([scope])).await?;
    Ok(issued.secret().expose().to_owned())
}

/// Each route is its own service, behind the layer that it needs.
pub(crate) fn app<B: Send + 'static>(ring: &KeyRing) -> Route<B> {
    let any_key = ApiKeyLayer::new(ring.clone());
    let public = any_key.layer(service_fn(public)).boxed_clone();
    let admin = any_key
        .require("write")
        .layer(service_fn(admin))
        .boxed_clone();
    service_fn(move |request: Request<B>| route(request, public.clone(), admin.clone()))
        .boxed_clone()
}

async fn route<B>(
    request: Request<B>,
    public: Route<B>,
    admin: Route<B>,
) -> Result<Response<ResponseBody<Full<Bytes>>>, Infallible> {
    let plain = match (request.method(), request.uri().path()) {
        (&Method::GET, "/public") => return public.oneshot(request).await,
        (&Method::POST, "/admin") => return admin.oneshot(request).await,
        (&Method::GET, "/open") => reply(StatusCode::OK, &json!({"message": "open to all"})),
        _ => reply(StatusCode::NOT_FOUND, &json!({"message": "no such route"})),
    };
    Ok(plain.map(ResponseBody::new))
}

async fn public<B>(request: Request<B>) -> Result<Reply, Infallible> {
    Ok(match VerifiedKey::of(request.extensions()) {
        Ok(key) => reply(
            StatusCode::OK,
            &json!({
                "message": "public data",
                "subject": key.subject().as_str(),
                "scopes": key.scopes().iter().collect::<Vec<_>>(),
            }),
        ),
        Err(rejection) => rejection.into_response().map(Full::new),
    })
}

async fn admin<B>(request: Request<B>) -> Result<Reply, Infallible> {
    let key: Option<&VerifiedKey> = request.extensions().get();
    let subject = key.map(|key| key.subject().as_str());
    Ok(reply(
        StatusCode::OK,
        &json!({"message": "admin action executed", "subject": subject}),
    ))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
