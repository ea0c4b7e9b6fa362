//! Temporary keys for visitors, real keys for customers, and a fixation attack that fails.
//!
//! `cargo run -p tower-api-key-tests --example signup --features axum` prints the attack as shell commands, to be pasted
//! in order. `PORT` chooses the port.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Form, Json, Router};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, ErrorKind, Grant, Issued, KeyRing, RevocationReason, VerifiedKey,
};

const QUARTER_OF_AN_HOUR: Duration = Duration::from_mins(15);

/// A ring's error as a response.
struct Failure(tower_api_key::Error);

/// Two protection spaces over one store, so that a promotion is one commit.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) visitors: KeyRing,
    pub(crate) customers: KeyRing,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::new();
    let shop = Shop {
        // Anyone can get a key of this ring, so it has few rights and a short lifetime.
        visitors: KeyRing::builder("visit")
            .realm("visitors")
            .grantable_scopes(["cart"])
            .max_lifetime(QUARTER_OF_AN_HOUR)
            .retention(QUARTER_OF_AN_HOUR)
            .build(store.clone())?,
        customers: KeyRing::builder("shop").realm("customers").build(store)?,
    };
    // Otherwise dead visitor keys would pile up.
    tokio::spawn(shop.visitors.upkeep());

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    print_attack(&format!("http://{}", listener.local_addr()?));

    let server = axum::serve(listener, app(shop)).with_graceful_shutdown(interrupted());
    tokio::select! {
        outcome = server => outcome?,
        () = overdue() => println!("some requests did not end in 10 s"),
    }
    Ok(())
}

fn print_attack(url: &str) {
    let with = |key| format!("curl -i -H \"x-api-key: ${key}\"");
    let (planted, real) = (with("planted"), with("real"));
    let login = "-H \"x-api-key: $planted\" -d name=alice -d password=";
    println!("listening on {url}; Ctrl-C ends it\n");
    println!("# A stranger fetches a temporary key and plants it in Alice's browser.");
    println!("planted=$(curl -s -X POST {url}/visit)");
    println!("# It opens the cart: 200. It is not a customer's key: 401.");
    println!("{planted} {url}/cart");
    println!("{planted} {url}/orders");
    println!("# A wrong password changes nothing: 403.");
    println!("curl -i {login}guess {url}/login");
    println!("# Alice logs in with the planted key, and gets another one.");
    println!("real=$(curl -s {login}tea-for-two {url}/login)");
    println!("# The attack has failed: what the stranger holds is dead everywhere: 401, 401, 401.");
    println!("{planted} {url}/cart");
    println!("{planted} {url}/orders");
    println!("curl -i {login}tea-for-two {url}/login");
    println!("# Alice's own key works: 200.");
    println!("{real} {url}/orders");
    println!("# Alice closes her account: 204. All her keys end with it: 401.");
    println!("{real} -X DELETE {url}/account");
    println!("{real} {url}/orders");
}

pub(crate) fn app(shop: Shop) -> Router {
    let visitor = ApiKeyLayer::new(shop.visitors.clone());
    let customer = ApiKeyLayer::new(shop.customers.clone());
    let cart = get(show_cart).route_layer(visitor.clone().require("cart"));
    let orders = get(list_orders).route_layer(customer.clone().require("orders:read"));
    Router::new()
        // In production, put a rate limit in front of these two.
        .route("/visit", post(visit))
        .route("/login", post(log_in).route_layer(visitor))
        .route("/cart", cart)
        .route("/orders", orders)
        .route("/account", delete(close_account).route_layer(customer))
        .with_state(shop)
}

async fn visit(State(shop): State<Shop>) -> Result<Response, Failure> {
    let grant = Grant::new("visitor").scopes(["cart"]);
    let issued = shop.visitors.issue(grant).await?;
    Ok(handed_out(issued))
}

/// The privilege changes here, and so does the key: the temporary key ends in the commit that adds
/// the real one.
async fn log_in(
    State(shop): State<Shop>,
    temporary: VerifiedKey,
    Form(login): Form<HashMap<String, String>>,
) -> Result<Response, Failure> {
    let Some(user) = user_of(&login) else {
        return Ok((StatusCode::FORBIDDEN, "wrong name or password").into_response());
    };
    let grant = Grant::new(user).scopes(["orders:read"]);
    let real = shop
        .customers
        .promote(&shop.visitors, temporary.id(), grant)
        .await?;
    Ok(handed_out(real))
}

/// The only user of the demonstration. A real shop compares a slow hash of the password.
fn user_of(login: &HashMap<String, String>) -> Option<&'static str> {
    let password = login.get("password")?.as_bytes();
    let same = bool::from(password.ct_eq(b"tea-for-two"));
    (login.get("name")? == "alice" && same).then_some("alice")
}

/// The only response that shows the key, which no cache may store.
fn handed_out(issued: Issued) -> Response {
    let secret = issued.into_secret().expose().to_owned();
    ([(CACHE_CONTROL, "no-store")], secret).into_response()
}

async fn show_cart() -> Json<Value> {
    Json(json!({"cart": ["tea"]}))
}

async fn list_orders(key: VerifiedKey) -> Json<Value> {
    Json(json!({"orders_of": key.subject(), "orders": ["tea", "milk"]}))
}

async fn close_account(State(shop): State<Shop>, key: VerifiedKey) -> Result<StatusCode, Failure> {
    shop.customers
        .revoke_subject(key.subject(), RevocationReason::CessationOfOperation)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<tower_api_key::Error> for Failure {
    fn from(error: tower_api_key::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            // Another login came first, or the time ran out between the check and the change.
            ErrorKind::KeyRevoked | ErrorKind::KeyExpired => StatusCode::CONFLICT,
            ErrorKind::Store | ErrorKind::Conflict => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.0.to_string()).into_response()
    }
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
