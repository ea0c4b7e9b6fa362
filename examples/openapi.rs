//! A service of axum whose OpenAPI document says what its routes enforce, because both come from one table.
//!
//! `cargo run -p tower-api-key-tests --example openapi --features axum,openapi` serves it, with the document at
//! `/openapi.json`. `PORT` chooses the port. With the argument `print` it writes the document and ends.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::error::Error;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tower_api_key::guard::routes::Routes;
use tower_api_key::openapi::Security;
use tower_api_key::store::MemoryStore;
use tower_api_key::{Access, ApiKeyLayer, Grant, KeyRing, Requirement, Source, VerifiedKey};
use utoipa::OpenApi;

/// The document as utoipa makes it, which says nothing of keys.
#[derive(OpenApi)]
#[openapi(
    info(title = "Orders", version = "1.0.0", description = "Orders of a shop."),
    paths(health, me, order, create, cancel)
)]
struct Document;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::builder("shop").build(MemoryStore::new())?;
    let (router, document) = app(ring.clone())?;
    if std::env::args().nth(1).as_deref() == Some("print") {
        println!("{document}");
        return Ok(());
    }

    let alice = ring
        .issue(Grant::new("alice").scopes(["orders:read"]))
        .await?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let alice = alice.secret().expose();
    println!("listening on {url}; Ctrl-C ends it\n");
    println!("the document       curl {url}/openapi.json");
    println!("no key needed      curl -i {url}/health");
    println!("no key: 401        curl -i {url}/orders/42");
    println!("orders:read        curl -i -H 'x-api-key: {alice}' {url}/orders/42");
    println!("scope lacking: 403 curl -i -X POST -H 'x-api-key: {alice}' {url}/orders");
    println!("not named: 403     curl -i -X PUT -H 'x-api-key: {alice}' {url}/orders");
    let interrupted = async {
        tokio::signal::ctrl_c().await.ok();
    };
    Ok(axum::serve(listener, router)
        .with_graceful_shutdown(interrupted)
        .await?)
}

pub(crate) fn app(ring: KeyRing) -> Result<(Router, String), Box<dyn Error>> {
    let layer = ApiKeyLayer::new(ring).sources([
        Source::header(http::HeaderName::from_static("x-api-key"))?,
        Source::bearer(),
    ]);
    let clear = Requirement::any([
        Requirement::scope("admin")?,
        Requirement::all(["orders:write", "orders:cancel"])?,
    ])?;
    let (router, table) = Routes::new()
        .get("/health", Access::Public, health)
        .get("/me", Access::AnyKey, me)
        .get("/orders/{id}", "orders:read", order)
        .post("/orders", "orders:write", create)
        .delete("/orders/{id}", clear, cancel)
        .build(layer.clone())?;
    let document = Security::of(&layer.routes(table))?.apply(&Document::openapi().to_json()?)?;

    // What is added here is outside the layer.
    let json = document.clone();
    let serve = async move || ([(CONTENT_TYPE, "application/json")], json.clone());
    let router = router.route("/openapi.json", axum::routing::get(serve));
    Ok((router, document))
}

#[utoipa::path(get, path = "/health", responses((status = 200, description = "It is up.")))]
async fn health() {}

#[utoipa::path(get, path = "/me", responses((status = 200, description = "The subject of the key.", body = String)))]
async fn me(key: VerifiedKey) -> String {
    key.subject().to_string()
}

#[utoipa::path(get, path = "/orders/{id}", params(("id" = u64, Path)), responses((status = 200, description = "The order.", body = String)))]
async fn order() -> &'static str {
    "tea"
}

#[utoipa::path(post, path = "/orders", responses((status = 200, description = "The order is placed.")))]
async fn create() {}

#[utoipa::path(delete, path = "/orders/{id}", params(("id" = u64, Path)), responses((status = 200, description = "The order is cancelled.")))]
async fn cancel() {}
