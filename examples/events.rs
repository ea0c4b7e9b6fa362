//! Server-sent events that end with the key that opened them.
//!
//! `cargo run -p tower-api-key-tests --example events --features axum` prints a curl line for each case. `PORT` chooses
//! the port.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, ErrorKind, Grant, Issued, KeyId, KeyRing, KeyState, RevocationReason, VerifiedKey,
    Watch,
};

const TICK: Duration = Duration::from_millis(250);
const GRACE: Duration = Duration::from_secs(2);
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// A ring's error as a response.
struct Failure(tower_api_key::Error);
type Tick = Result<Event, Infallible>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::builder("feed").build(MemoryStore::new())?;
    let reader = |name| Grant::new(name).scopes(["events:read"]);
    let alice = ring.issue(reader("alice")).await?;
    let bob = ring.issue(reader("bob")).await?;
    let admin = ring.issue(Grant::new("carol").scopes(["admin"])).await?;

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}; Ctrl-C ends it\n");
    let [alice_id, bob_id] = [&alice, &bob].map(|issued| issued.record().id());
    let [alice, bob, admin] = [&alice, &bob, &admin].map(|issued| issued.secret().expose());
    println!("a stream           curl -iN -H 'x-api-key: {alice}' {url}/stream");
    println!("… ends at once     curl -i -X DELETE -H 'x-api-key: {admin}' {url}/keys/{alice_id}");
    println!("a second stream    curl -iN -H 'x-api-key: {bob}' {url}/stream");
    println!("… ends in 2 s      curl -i -X POST -H 'x-api-key: {admin}' {url}/keys/{bob_id}/next");
    println!("a key for 5 s      brief=$(curl -s -X POST -H 'x-api-key: {admin}' {url}/keys)");
    println!("… and its stream   curl -iN -H \"x-api-key: $brief\" {url}/stream");
    println!("no key: 401        curl -i {url}/stream");
    println!("scope lacking: 403 curl -i -H 'x-api-key: {admin}' {url}/stream");

    let server = axum::serve(listener, app(ring)).with_graceful_shutdown(interrupted());
    tokio::select! {
        outcome = server => outcome?,
        () = overdue() => println!("some requests did not end in 10 s"),
    }
    Ok(())
}

pub(crate) fn app(ring: KeyRing) -> Router {
    let authenticate = ApiKeyLayer::new(ring.clone());
    let readers = authenticate.clone().require("events:read");
    let keys = Router::new()
        .route("/", post(issue_brief_key))
        .route("/{id}", delete(revoke))
        .route("/{id}/next", post(rotate))
        .route_layer(authenticate.require("admin"));
    Router::new()
        .route("/stream", get(stream).route_layer(readers))
        .nest("/keys", keys)
        .with_state(ring)
}

/// The layer authenticates the request once. The watch ties the stream to the key.
async fn stream(State(ring): State<KeyRing>, key: VerifiedKey) -> Sse<ReceiverStream<Tick>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(tick(sender, ring.watch(key.id())));
    Sse::new(ReceiverStream::new(receiver))
}

/// Sends ticks until the key ends, the client disconnects, or the server shuts down.
async fn tick(sender: mpsc::Sender<Tick>, over: Watch) {
    let ticks = async {
        let mut interval = tokio::time::interval(TICK);
        for number in 0_u64.. {
            interval.tick().await;
            let event = Event::default().event("tick").data(number.to_string());
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
    };
    let last_words = tokio::select! {
        // First, so that no tick is sent after the key has ended.
        biased;
        state = over => match state {
            Ok(KeyState::Revoked) => "the key is revoked",
            Ok(KeyState::Replaced) => "the key was replaced",
            Ok(_) => "the key has expired",
            Err(_) => "the key cannot be seen any more",
        },
        () = interrupted() => "the server ends",
        () = ticks => return,
    };
    let event = Event::default().event("over").data(last_words);
    // If the client has disconnected, there is nothing more to send.
    let _ = sender.send(Ok(event)).await;
}

async fn revoke(
    State(ring): State<KeyRing>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let id: KeyId = id.parse()?;
    ring.revoke(id, RevocationReason::PrivilegeWithdrawn)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(State(ring): State<KeyRing>, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = id.parse()?;
    let issued = ring.rotate(id, GRACE).await?;
    Ok(handed_out(issued))
}

async fn issue_brief_key(State(ring): State<KeyRing>) -> Result<Response, Failure> {
    let grant = Grant::new("dave").scopes(["events:read"]);
    let grant = grant.expires_in(SHORT_LIFE);
    let issued = ring.issue(grant).await?;
    Ok(handed_out(issued))
}

/// The only response that shows the key, which no cache may store.
fn handed_out(issued: Issued) -> Response {
    let secret = issued.into_secret().expose().to_owned();
    ([(CACHE_CONTROL, "no-store")], secret).into_response()
}

impl From<tower_api_key::Error> for Failure {
    fn from(error: tower_api_key::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::InvalidKeyId | ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Store | ErrorKind::Conflict => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
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
