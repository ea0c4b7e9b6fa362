//! A fleet of three nodes over one Postgres: each verifies from memory, and a revocation reaches all of them.
//!
//! `cargo run -p tower-api-key-tests --example fleet --features axum,replica` starts a Postgres of its own (it must be
//! installed) and three nodes as processes. It revokes one key while all nodes run, and another one while a node is
//! stopped. It prints when each node refused.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::error::Error;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::runtime;
use tokio::time::Instant;
use tower_api_key::replica::Replica;
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RevocationReason, VerifiedKey};
use tower_api_key_postgres::PostgresStore;
use tower_api_key_test_support::pg_server::PgServer;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// No node accepts a key for longer than this after its revocation was acknowledged.
const STALENESS: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => fleet().await,
        [word, url] if word == "node" => node(url).await,
        _ => Err("give no argument".into()),
    }
}

/// A node: a service whose requests cost the database nothing.
async fn node(url: &str) -> Outcome<()> {
    let replica = follow(url).await?;
    let ring = KeyRing::builder("acme").build(replica)?;
    let hello = |key: VerifiedKey| async move { format!("hello {}", key.subject()) };
    let app = Router::new()
        .route("/", get(hello))
        .layer(ApiKeyLayer::new(ring));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// A copy of the keys, which is fresh when this returns.
async fn follow(url: &str) -> Outcome<Replica> {
    let store = PostgresStore::connect(url).await?;
    let (replica, follow) = Replica::options().staleness(STALENESS).follow(store)?;
    // In a thread of its own: if the runtime of the requests was busy, it would come too late.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::spawn(move || runtime.block_on(follow));
    replica.ready().await?;
    Ok(replica)
}

async fn fleet() -> Outcome<()> {
    let server = PgServer::start("on");
    let url = server.empty_database().await;
    PostgresStore::migrate(&url).await?;
    let store = PostgresStore::connect(&url).await?;
    store.set_staleness(STALENESS).await?;
    let replica = follow(&url).await?;
    let ring = KeyRing::builder("acme").build(replica.clone())?;
    let alice = ring.issue(Grant::new("alice")).await?;
    let bob = ring.issue(Grant::new("bob")).await?;

    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(Node::start(number, &url).await?);
    }
    for node in &nodes {
        for issued in [&alice, &bob] {
            let (subject, status) = (
                issued.record().subject(),
                node.asker.ask(issued.secret().expose()).await?,
            );
            println!("node {}: {subject}'s key is a {status}", node.asker.number);
        }
    }

    println!("\nalice's key is revoked while all nodes run");
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(alice.id(), reason).await?;
    print_refusals(&nodes, alice.secret().expose(), Instant::now()).await?;

    println!("\nbob's key is revoked while node 3 is stopped");
    nodes[2].signal("-STOP").await?;
    ring.revoke(bob.id(), reason).await?;
    let revoked_at = Instant::now();
    print_refusals(&nodes[..2], bob.secret().expose(), revoked_at).await?;
    // Node 3 hears of nothing. From here on it cannot accept the key all the same.
    replica.settle().await?;
    println!("settled after {:?}, node 3 goes on", revoked_at.elapsed());
    nodes[2].signal("-CONT").await?;
    print_refusals(&nodes[2..], bob.secret().expose(), revoked_at).await
}

/// Asks each node until it refuses a key, all at once.
async fn print_refusals(nodes: &[Node], key: &str, revoked_at: Instant) -> Outcome<()> {
    let mut asking = Vec::new();
    for node in nodes {
        let (node, key) = (node.asker.clone(), key.to_owned());
        asking.push(tokio::spawn(async move {
            let mut accepted = 0;
            loop {
                let status = node.ask(&key).await?;
                match status {
                    StatusCode::OK => accepted += 1,
                    // The copy was not fresh, and the database did not answer in time.
                    StatusCode::SERVICE_UNAVAILABLE => {}
                    _ => {
                        let after = revoked_at.elapsed();
                        return Outcome::Ok(format!(
                            "node {}: {status} after {after:?}, and {accepted} accepted before",
                            node.number
                        ));
                    }
                }
            }
        }));
    }
    for answer in asking {
        println!("{}", answer.await??);
    }
    Ok(())
}

/// A node as others see it.
struct Node {
    process: Child,
    asker: Asker,
}

#[derive(Clone)]
struct Asker {
    number: usize,
    url: String,
    client: Client<HttpConnector, Body>,
}

impl Node {
    async fn start(number: usize, database: &str) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["node", database])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().ok_or("the node has no output")?;
        let line = BufReader::new(output).lines().next_line().await?;
        let asker = Asker {
            number,
            url: line.ok_or("the node did not start")?,
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        Ok(Self { process, asker })
    }

    async fn signal(&self, signal: &str) -> Outcome<()> {
        let id = self.process.id().ok_or("the node has ended")?.to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await?;
        sent.success().then_some(()).ok_or("kill failed".into())
    }
}

impl Asker {
    async fn ask(&self, key: &str) -> Outcome<StatusCode> {
        let request = Request::get(&self.url).header("x-api-key", key);
        let response = self.client.request(request.body(Body::empty())?).await?;
        Ok(response.status())
    }
}
