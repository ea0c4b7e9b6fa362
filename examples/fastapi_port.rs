//! The API-key tutorial application of `FastAPI`, on axum, with the same keys and answers.
//!
//! `cargo run -p tower-api-key-tests --example fastapi_port --features axum` prints a curl line for each case. `PORT`
//! chooses the port.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::error::Error;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, Grant, KeyRing, Rejection, RejectionKind, StatusProfile, VerifiedKey,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The tutorial's keys are words, not secrets: a ring accepts them only if it is asked for
    // twice. They never expire, which also has to be stated.
    let ring = KeyRing::builder("tutorial")
        .accept_imports()
        .unlimited_lifetime()
        .build(MemoryStore::new())?;
    for (subject, scope, key) in [
        ("public", "read", "public-key-123"),
        ("admin", "write", "admin-key-456"),
    ] {
        let grant = Grant::new(subject).scopes([scope]).never_expires();
        ring.import_insecure_plaintext(grant, key).await?;
    }

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}; Ctrl-C ends it\n");
    println!("any valid key      curl -i -H 'x-api-key: public-key-123' {url}/public");
    println!("no key: 401        curl -i {url}/public");
    println!("unknown key: 403   curl -i -H 'x-api-key: nonsense' {url}/public");
    println!("scope held         curl -i -X POST -H 'x-api-key: admin-key-456' {url}/admin");
    println!("scope lacking: 403 curl -i -X POST -H 'x-api-key: public-key-123' {url}/admin");
    println!("own answers        curl -i -H 'x-api-key: public-key-123' {url}/keys/rotate");
    println!("unknown key: 401   curl -i -H 'x-api-key: nonsense' {url}/keys/rotate");

    let server = axum::serve(listener, app(ring)).with_graceful_shutdown(interrupted());
    tokio::select! {
        outcome = server => outcome?,
        () = overdue() => println!("some requests did not end in 10 s"),
    }
    Ok(())
}

/// `Depends(api_key)` becomes a layer on a route.
///
/// On a method's own `route_layer`, a layer sees only the requests for that route and method. Any
/// other is answered with 404 or 405 whether it has a key or not, as in the original.
pub(crate) fn app(ring: KeyRing) -> Router {
    let any_key = ApiKeyLayer::new(ring).profile(StatusProfile::FastApi);
    let writers = any_key.clone().require("write");
    let rotation = any_key.clone().responder(refuse_rotation);
    Router::new()
        .route("/public", get(public).route_layer(any_key))
        .route("/admin", post(admin).route_layer(writers))
        .route("/keys/rotate", get(rotate).route_layer(rotation))
        .fallback(async || (StatusCode::NOT_FOUND, detail("Not Found")))
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            (status, detail("Method Not Allowed"))
        })
}

async fn public(key: VerifiedKey) -> Json<Value> {
    Json(json!({"message": "public data", "scope": key.scopes().as_str()}))
}

async fn admin(key: VerifiedKey) -> Json<Value> {
    Json(json!({"message": "admin action executed", "subject": key.subject()}))
}

async fn rotate() -> Json<Value> {
    Json(json!({"hint": "Implement key rotation outside this endpoint"}))
}

/// This endpoint of the tutorial answers a missing key and an unknown one alike.
///
/// The layer adds the headers that every refusal needs: the challenge of a 401, and `no-store`.
fn refuse_rotation(rejection: &Rejection) -> Response<Bytes> {
    let unauthorised = matches!(
        rejection.kind(),
        RejectionKind::Missing | RejectionKind::Invalid
    );
    let (status, text) = if unauthorised {
        (StatusCode::UNAUTHORIZED, "Invalid key")
    } else {
        (rejection.status(), rejection.detail())
    };
    let mut response = Response::new(Bytes::from(json!({"detail": text}).to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn detail(text: &str) -> Json<Value> {
    Json(json!({"detail": text}))
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // If there is no signal to wait for, the server runs until it is killed.
        std::future::pending::<()>().await;
    }
}

/// Ends ten seconds after Ctrl-C, even if requests are still open.
async fn overdue() {
    interrupted().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
}
