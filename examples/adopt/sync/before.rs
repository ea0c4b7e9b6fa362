//! A server that syncs histories, as it was: its sessions are tokens of its own, which it keeps as they are.
//!
//! `cargo run -p tower-api-key-tests --example adopt_sync_before --features axum`. The example `adopt_sync` is the same
//! server with this crate.

use std::collections::HashMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tables = Tables {
        passwords: HashMap::from([("alice".to_owned(), "secret".to_owned())]),
        ..Tables::default()
    };
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(tables)).await?;
    Ok(())
}

/// The tables of the server. A real one keeps hashes of passwords.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) passwords: HashMap<String, String>,
    /// The user of each session, by its token.
    pub(crate) sessions: HashMap<String, String>,
    pub(crate) histories: HashMap<String, Vec<String>>,
}

#[derive(Clone)]
struct App {
    tables: Arc<Mutex<Tables>>,
}

impl App {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn app(tables: Tables) -> Router {
    let app = App {
        tables: Arc::new(Mutex::new(tables)),
    };
    Router::new()
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/history", get(history).post(add))
        .with_state(app)
}

/// The user of a session.
struct User {
    name: String,
    token: String,
}

impl FromRequestParts<App> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let value = parts.headers.get(header::AUTHORIZATION);
        let token = value
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Token "));
        let Some(token) = token else {
            return Err(StatusCode::UNAUTHORIZED.into_response());
        };
        match app.tables().sessions.get(token) {
            Some(name) => Ok(Self {
                name: name.clone(),
                token: token.to_owned(),
            }),
            None => Err(StatusCode::UNAUTHORIZED.into_response()),
        }
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
    let number = || RandomState::new().hash_one(&name);
    let token = format!("{:016x}{:016x}", number(), number());
    app.tables().sessions.insert(token.clone(), name);
    Ok(Json(json!({"session": token})))
}

async fn log_out(State(app): State<App>, user: User) {
    app.tables().sessions.remove(&user.token);
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
