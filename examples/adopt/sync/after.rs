//! A server that syncs histories: its sessions are keys, and those from before are imported.
//!
//! `cargo run -p tower-api-key-tests --example adopt_sync --features axum`. The example `adopt_sync_before` is the same
//! server before it took this crate.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, Authenticator, Grant, KeyId, KeyRing, ResponseGuardLayer, RevocationReason, Source,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tables = Tables {
        passwords: HashMap::from([("alice".to_owned(), "secret".to_owned())]),
        ..Tables::default()
    };
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(tables).await?).await?;
    Ok(())
}

/// The tables of the server. A real one keeps hashes of passwords.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) passwords: HashMap<String, String>,
    /// The user of each session from before, by its token.
    pub(crate) sessions: HashMap<String, String>,
    pub(crate) histories: HashMap<String, Vec<String>>,
}

#[derive(Clone)]
struct App {
    tables: Arc<Mutex<Tables>>,
    ring: KeyRing,
    authenticator: Authenticator,
}

impl App {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) async fn app(mut tables: Tables) -> Result<Router, Box<dyn Error>> {
    let ring = KeyRing::builder("sync")
        .accept_imports()
        .build(MemoryStore::new())?;
    for (token, name) in tables.sessions.drain() {
        let grant = Grant::new(name).expires_in(Duration::from_hours(24 * 30));
        ring.import_plaintext(grant, &token).await?;
    }
    let layer = ApiKeyLayer::new(ring.clone()).sources([Source::scheme("Token")?]);
    let app = App {
        tables: Arc::new(Mutex::new(tables)),
        authenticator: layer.authenticator(),
        ring,
    };
    Ok(Router::new()
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/history", get(history).post(add))
        .layer(ResponseGuardLayer::new())
        .with_state(app))
}

/// The user of a session.
struct User {
    name: String,
    session: KeyId,
}

impl FromRequestParts<App> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let key = app.authenticator.authenticate(parts).await;
        let key = key.map_err(IntoResponse::into_response)?;
        Ok(Self {
            name: key.subject().to_string(),
            session: key.id(),
        })
    }
}

async fn log_in(
    State(app): State<App>,
    Json(login): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let name = login["name"].as_str().unwrap_or_default().to_owned();
    let known = app.tables().passwords.get(&name).cloned();
    if known.is_none() || known.as_deref() != login["password"].as_str() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let issued = app.ring.issue(Grant::new(name)).await;
    let issued = issued.map_err(|error| error.kind().class().status())?;
    Ok(Json(json!({"session": issued.secret().expose()})))
}

async fn log_out(State(app): State<App>, user: User) -> Result<(), tower_api_key::Error> {
    let reason = RevocationReason::CessationOfOperation;
    app.ring.revoke(user.session, reason).await.map(drop)
}

async fn history(State(app): State<App>, user: User) -> Json<Value> {
    let tables = app.tables();
    Json(json!(tables.histories.get(&user.name)))
}

async fn add(State(app): State<App>, user: User, command: String) -> StatusCode {
    let mut tables = app.tables();
    tables.histories.entry(user.name).or_default().push(command);
    StatusCode::CREATED
}
