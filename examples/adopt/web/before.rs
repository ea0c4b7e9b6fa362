//! A web application as it was: one route for a session cookie or an API key of its settings, if a setting says so.
//!
//! `cargo run -p tower-api-key-tests --example adopt_web_before --features axum`. The example `adopt_web` is the same
//! application with this crate.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tower::util::option_layer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings {
        require_login: true,
        sessions: HashMap::from([("6f1d".to_owned(), "alice".to_owned())]),
        api_keys: HashMap::from([(
            "0c8e44d1a9b34f7e8d21c6f05b9e7a13".to_owned(),
            "reporter".to_owned(),
        )]),
    };
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(settings)).await?;
    Ok(())
}

pub(crate) struct Settings {
    pub(crate) require_login: bool,
    /// The user of each session, by the cookie.
    pub(crate) sessions: HashMap<String, String>,
    /// The user of each key.
    pub(crate) api_keys: HashMap<String, String>,
}

/// Who has sent a request.
#[derive(Clone)]
struct User(String);

pub(crate) fn app(settings: Settings) -> Router {
    let is_required = settings.require_login;
    let settings = Arc::new(settings);
    let guard = is_required.then(|| from_fn_with_state(settings, authenticate));
    Router::new()
        .route("/report", get(report))
        .layer(option_layer(guard))
}

async fn authenticate(
    State(settings): State<Arc<Settings>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok());
    let of_key = key.and_then(|key| settings.api_keys.get(key));
    let Some(user) = session(&settings.sessions, headers).or(of_key) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let user = User(user.clone());
    request.extensions_mut().insert(user);
    next.run(request).await
}

/// The user of the session whose cookie the request has.
fn session<'a>(sessions: &'a HashMap<String, String>, headers: &HeaderMap) -> Option<&'a String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let mut cookies = cookies.split("; ");
    sessions.get(cookies.find_map(|cookie| cookie.strip_prefix("session="))?)
}

async fn report(user: Option<Extension<User>>) -> String {
    let name = user.map_or("everyone".to_owned(), |user| user.0.0);
    format!("a report for {name}")
}
