//! A web application: one route for a session cookie or an API key, if a setting says so.
//!
//! `cargo run -p tower-api-key-tests --example adopt_web --features axum`. The example `adopt_web_before` is the same
//! application before it took this crate.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RequireKeyLayer, SameBodyLayer, VerifiedKey};

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
    axum::serve(listener, app(settings).await?).await?;
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

pub(crate) async fn app(settings: Settings) -> Result<Router, Box<dyn Error>> {
    let ring = KeyRing::builder("web").accept_imports();
    let ring = ring.build(MemoryStore::new())?;
    for (key, user) in &settings.api_keys {
        let grant = Grant::new(user).expires_in(Duration::from_hours(24 * 30));
        ring.import_plaintext(grant, key).await?;
    }
    let is_required = settings.require_login;
    let settings = Arc::new(settings);
    let guard = is_required.then(|| {
        let keys = ApiKeyLayer::new(ring).allow_missing_or_failed();
        ServiceBuilder::new()
            .layer(SameBodyLayer::new(keys))
            .layer(from_fn_with_state(settings, authenticate))
            .layer(RequireKeyLayer::new().or(|extensions| extensions.get::<User>().is_some()))
    });
    Ok(Router::new()
        .route("/report", get(report))
        .layer(option_layer(guard)))
}

async fn authenticate(
    State(settings): State<Arc<Settings>>,
    mut request: Request,
    next: Next,
) -> Response {
    let of_session = session(&settings.sessions, request.headers()).cloned();
    let key = VerifiedKey::of(request.extensions());
    let of_key = key.ok().map(|key| key.subject().to_string());
    if let Some(user) = of_session.or(of_key) {
        request.extensions_mut().insert(User(user));
    }
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
