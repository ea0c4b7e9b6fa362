//! Nodes as real processes that verify from replicas of a real Postgres, with real faults: invariant 9,
//! and rule 22.
//!
//! What is asserted about time holds at any load of the machine: a request that was *sent* later than
//! the staleness after a revocation was acknowledged is not accepted. How soon a node refuses is not
//! asserted.

mod by_hand;
mod client;
mod failing;
mod following;
mod moved;
mod network;
mod node;
mod packets;
mod pooled;
mod stopping;

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::task::block_in_place;
use tower_api_key::{Grant, Issued, KeyRing, RevocationReason};

use self::client::{Answer, Client, now};
use crate::folder::Folder;
use crate::pg_server::{self, execute, patient};
use crate::process::Running;
use crate::proxy::Proxy;

/// The staleness of most nodes.
const STALENESS: Duration = Duration::from_millis(500);

/// The database of a fleet, through which keys are issued and revoked, whatever happens to a node.
struct Home {
    url: String,
    ring: KeyRing,
}

impl Home {
    /// A database on the server that the tests share.
    async fn new() -> Self {
        Self::at(&pg_server::database().await).await
    }

    async fn at(url: &str) -> Self {
        set_staleness(url, STALENESS).await;
        let store = patient().connect(url).await.unwrap();
        let ring = KeyRing::builder("acme")
            .realm("orders")
            .lookup_timeout(Duration::from_mins(1))
            .build(store)
            .unwrap();
        Self {
            url: url.to_owned(),
            ring,
        }
    }

    /// The name of the database.
    fn name(&self) -> &str {
        self.url.rsplit_once('/').unwrap().1
    }

    /// A proxy to the server of the database.
    fn proxy(&self) -> Proxy {
        self.proxy_at(Ipv4Addr::LOCALHOST)
    }

    fn proxy_at(&self, address: Ipv4Addr) -> Proxy {
        let server = self.url.rsplit_once('/').unwrap().0;
        let port = server.rsplit_once(':').unwrap().1;
        Proxy::at(address.into(), port.parse().unwrap())
    }

    /// A node that is fresh, with no proxy between it and the server.
    fn node(&self) -> Node {
        Node::start(&self.url, STALENESS)
    }

    async fn execute(&self, sql: &str) {
        execute(&self.url, sql).await.unwrap();
    }

    async fn issue(&self) -> Issued {
        self.ring.issue(Grant::new("alice")).await.unwrap()
    }

    /// Revokes a key. Returns a moment after this was acknowledged.
    async fn revoke(&self, issued: &Issued) -> Duration {
        let reason = RevocationReason::KeyCompromise;
        self.ring.revoke(issued.id(), reason).await.unwrap();
        now()
    }
}

/// Sets the staleness of a fleet that has no nodes yet. So none goes by the one before.
async fn set_staleness(url: &str, staleness: Duration) {
    let staleness = staleness.as_millis();
    let set = format!(
        "UPDATE tower_api_key_feed SET staleness_ms = {staleness};
        UPDATE tower_api_key_feed SET former_staleness_ms = NULL, former_until = NULL"
    );
    execute(url, &set).await.unwrap();
}

/// A process that serves, which is killed with the test.
struct Node {
    process: Running,
    client: Client,
    _folder: Folder,
}

impl Node {
    /// A node that is fresh.
    fn start(url: &str, staleness: Duration) -> Self {
        let node = Self::start_stale(url, staleness);
        node.hears("replica_fresh");
        node
    }

    /// A node that listens.
    fn start_stale(url: &str, staleness: Duration) -> Self {
        Self::start_through(&[], url, staleness)
    }

    /// A node that listens, started through this command.
    fn start_through(command: &[&str], url: &str, staleness: Duration) -> Self {
        let folder = Folder::new();
        let socket = folder.path().join("node");
        let environment = [
            (node::DATABASE, url),
            (node::STALENESS, &staleness.as_millis().to_string()),
            (node::SOCKET, socket.to_str().unwrap()),
        ];
        let node = Self {
            process: Running::again_through(command, "fleet::node::node", environment),
            client: Client::of(&socket),
            _folder: folder,
        };
        node.hears("listening");
        node
    }

    /// Waits for the next line that begins so, and returns it.
    #[track_caller]
    #[allow(clippy::print_stdout, reason = "the test shows it if it fails")]
    fn hears(&self, start: &str) -> String {
        block_in_place(|| {
            loop {
                let line = self.process.next_line();
                let line = line.unwrap_or_else(|| panic!("the node ended before it said {start}"));
                println!("node {}: {line}", self.process.process());
                if line.starts_with(start) {
                    return line;
                }
            }
        })
    }
}

/// The plaintext of a key.
fn text(issued: &Issued) -> &str {
    issued.secret().expose()
}

/// Asserts invariant 9: no request was accepted that began later than the staleness after its key was
/// revoked. The node had heard of that if it said 401, and accepts none after it.
#[track_caller]
fn assert_bound(answers: &[Answer], acknowledged: Duration, staleness: Duration) {
    let accepted = |answer: &&Answer| answer.status == 200;
    let latest = answers
        .iter()
        .filter(accepted)
        .map(|answer| answer.sent)
        .max();
    let latest = latest.unwrap_or_default();
    assert!(
        latest <= acknowledged + staleness,
        "accepted {:?} after the revocation",
        latest.saturating_sub(acknowledged)
    );
    let mut since_heard = answers.iter().skip_while(|answer| answer.status != 401);
    assert!(
        since_heard.all(|answer| answer.status != 200),
        "{answers:?}"
    );
}
