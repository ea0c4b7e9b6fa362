//! Nested axum routers, each with its own scopes, under one authenticating layer.
//!
//! `cargo run -p tower-api-key-tests --example axum --features axum` prints a curl line for each case. `PORT` chooses
//! the port.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::error::Error;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RequireScopeLayer, Requirement, VerifiedKey};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::builder("shop").build(MemoryStore::new())?;
    let mut keys = Vec::new();
    for (subject, scopes) in [
        ("alice", &["orders:read"][..]),
        ("bob", &["orders:read", "orders:write"]),
        ("carol", &["auditor"]),
        ("dave", &["admin", "orders:write"]),
    ] {
        keys.push(ring.issue(Grant::new(subject).scopes(scopes)).await?);
    }

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}; Ctrl-C ends it\n");
    let [alice, bob, carol, dave] = [0, 1, 2, 3].map(|index| keys[index].secret().expose());
    println!("no key needed      curl -i {url}/hello");
    println!("a key is welcome   curl -i -H 'x-api-key: {alice}' {url}/hello");
    println!("any valid key      curl -i -H 'x-api-key: {alice}' {url}/me");
    println!("no key: 401        curl -i {url}/me");
    println!("orders:read        curl -i -H 'x-api-key: {alice}' {url}/orders");
    println!("scope lacking: 403 curl -i -X POST -H 'x-api-key: {alice}' {url}/orders");
    println!("orders:write       curl -i -X POST -H 'x-api-key: {bob}' {url}/orders");
    println!("any of two         curl -i -H 'x-api-key: {carol}' {url}/admin/audit");
    println!("one of two: 403    curl -i -X DELETE -H 'x-api-key: {bob}' {url}/admin/orders");
    println!("all of two         curl -i -X DELETE -H 'x-api-key: {dave}' {url}/admin/orders");

    let server = axum::serve(listener, app(ring)?).with_graceful_shutdown(interrupted());
    tokio::select! {
        outcome = server => outcome?,
        () = overdue() => println!("some requests did not end in 10 s"),
    }
    Ok(())
}

pub(crate) fn app(ring: KeyRing) -> Result<Router, tower_api_key::Error> {
    let authenticate = ApiKeyLayer::new(ring);
    let greet_anyone = authenticate.clone().optional();

    // The methods of one path need different scopes: a layer on each, then both together.
    let read = get(list_orders).route_layer(RequireScopeLayer::new("orders:read"));
    let write = post(create_order).route_layer(RequireScopeLayer::new("orders:write"));
    let orders = Router::new().route("/", read.merge(write));

    // Different scopes for the paths of one router.
    let audit = RequireScopeLayer::new(Requirement::any(["admin", "auditor"])?);
    let clear = RequireScopeLayer::new(Requirement::all(["admin", "orders:write"])?);
    let admin = Router::new()
        .route("/audit", get(read_audit).route_layer(audit))
        .route("/orders", delete(clear_orders).route_layer(clear));

    Ok(Router::new()
        .route("/me", get(who_am_i))
        .nest("/orders", orders)
        .nest("/admin", admin)
        // The layer covers everything above and nothing else. An unknown path is 404 without a key.
        // `layer` would ask for a key first.
        .route_layer(authenticate)
        .route("/hello", get(hello).route_layer(greet_anyone)))
}

async fn who_am_i(key: VerifiedKey) -> Json<Value> {
    Json(json!({
        "subject": key.subject(),
        "scopes": key.scopes().iter().collect::<Vec<_>>(),
    }))
}

async fn hello(key: Option<VerifiedKey>) -> Json<Value> {
    let name = key
        .as_ref()
        .map_or("stranger", |key| key.subject().as_str());
    Json(json!({"message": format!("hello, {name}")}))
}

async fn list_orders() -> Json<Value> {
    Json(json!({"orders": ["tea", "milk"]}))
}

async fn create_order(key: VerifiedKey) -> (StatusCode, Json<Value>) {
    (
        StatusCode::CREATED,
        Json(json!({"ordered_by": key.subject()})),
    )
}

async fn read_audit() -> Json<Value> {
    Json(json!({"entries": []}))
}

async fn clear_orders(key: VerifiedKey) -> Json<Value> {
    Json(json!({"cleared_by": key.subject()}))
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
