//! How soon every node refuses a revoked key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tower_api_key::{Grant, KeyRing, RevocationReason};
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};

use crate::nodes::{Nodes, PREFIX, fill, percentiles};

const INTERVAL: Duration = Duration::from_millis(50);
/// Changes that are not committed yet. Without a bound, a machine that is too slow for them gets ever slower.
const MOST_WAITING: usize = 8;

pub(crate) async fn run(once: bool) {
    let (most, revocations) = if once { (3, 2) } else { (100, 100) };
    let (url, ring, _server) = start().await;
    for count in [most.min(10), most] {
        let nodes = Nodes::start(&url, count, INTERVAL).await;
        let enough = |count: usize| count >= revocations;
        // A statement by hand notifies nobody, so the nodes hear of it by their pulls alone.
        report(&ring, &nodes, &url, enough, "by SQL, polling alone").await;
        report(&ring, &nodes, "", enough, "by the crate").await;
        if count == most {
            let changes = Changes::begin(&ring);
            let what = "beside 100 changes a second";
            report(&ring, &nodes, &url, enough, what).await;
            changes.end();
        }
    }
}

/// The same while a large purge goes on, of keys that have ended.
pub(crate) async fn purge(once: bool) {
    let (count, dead) = if once { (3, 100) } else { (100, 100_000) };
    for is_busy in [false, true] {
        let (url, ring, _server) = start().await;
        // Before there are nodes: this many changes at once are no part of it.
        fill(&url, 1, dead).await;
        let end = "UPDATE tower_api_keys SET expires_at = 2, version = 2";
        execute(&url, end).await.unwrap();
        execute(&url, "VACUUM ANALYZE").await.unwrap();
        let nodes = Nodes::start(&url, count, INTERVAL).await;
        let changes = is_busy.then(|| Changes::begin(&ring));
        let purge = tokio::spawn({
            let (ring, begun) = (ring.clone(), Instant::now());
            async move { (ring.purge().await.unwrap(), begun.elapsed()) }
        });
        let busy = if is_busy {
            "100 changes a second and "
        } else {
            ""
        };
        let what = format!("beside {busy}a purge of {dead} keys");
        report(&ring, &nodes, &url, |_| purge.is_finished(), &what).await;
        let (removed, took) = purge.await.unwrap();
        println!(
            "    (the purge removed {removed} keys in {:.1} s)",
            took.as_secs_f64()
        );
        if let Some(changes) = changes {
            changes.end();
        }
    }
}

async fn start() -> (String, KeyRing, PgServer) {
    println!("\nrevocation acknowledged until refused by a node, a pull each {INTERVAL:?}");
    // A node has two connections, and for a moment more.
    let server =
        PgServer::start_with_options("-c fsync=on -c max_connections=500 -c shared_buffers=128MB");
    let url = server.database().await;
    let store = patient().connect(&url).await.unwrap();
    let ring = KeyRing::builder(PREFIX).build(store).unwrap();
    (url, ring, server)
}

/// Issues a key, waits until all nodes have it, revokes it, and looks at each node until it refuses it. Once at the least,
/// until there were enough.
async fn report(
    ring: &KeyRing,
    nodes: &Nodes,
    by_hand: &str,
    is_enough: impl Fn(usize) -> bool,
    what: &str,
) {
    let (mut sample, begun) = (Vec::new(), Instant::now());
    let processor = nodes.server.time();
    let mut revocations = 0;
    while revocations == 0 || !is_enough(revocations) {
        revocations += 1;
        let issued = ring.issue(Grant::new("alice")).await.unwrap();
        let key = issued.secret().expose().as_bytes();
        accepted(nodes, key).await;
        if by_hand.is_empty() {
            ring.revoke(issued.id(), RevocationReason::KeyCompromise)
                .await
                .unwrap();
        } else {
            let id = issued.id();
            let revoke = format!(
                "UPDATE tower_api_keys SET revoked_at = 9, revocation_reason = 'key_compromise', \
                 version = version + 1 WHERE id = '{id}'"
            );
            execute(by_hand, &revoke).await.unwrap();
        }
        let revoked_at = Instant::now();
        // One that is stale asks the database, and holds up no other.
        let mut refusals = JoinSet::new();
        for node in &nodes.rings {
            refusals.spawn(refused(node.clone(), key.to_vec(), revoked_at));
        }
        sample.extend(refusals.join_all().await);
    }
    let processor = nodes.server.time().saturating_sub(processor);
    println!(
        "{} nodes, {what}: {}; {revocations} revocations, {:.2} processors of Postgres",
        nodes.rings.len(),
        percentiles(&mut sample),
        processor.as_secs_f64() / begun.elapsed().as_secs_f64()
    );
}

/// How long it took until a node refuses a key.
async fn refused(node: KeyRing, key: Vec<u8>, revoked_at: Instant) -> Duration {
    while node.verify(&key).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    revoked_at.elapsed()
}

/// Waits until each node has a key.
async fn accepted(nodes: &Nodes, key: &[u8]) {
    for node in &nodes.rings {
        while node.verify(key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Changes of other subjects that go on until they are ended.
struct Changes {
    committed: Arc<AtomicU64>,
    begun: Instant,
    task: JoinHandle<()>,
}

impl Changes {
    fn begin(ring: &KeyRing) -> Self {
        let committed = Arc::new(AtomicU64::new(0));
        Self {
            begun: Instant::now(),
            task: tokio::spawn(change_for_ever(ring.clone(), Arc::clone(&committed))),
            committed,
        }
    }

    fn end(self) {
        self.task.abort();
        let seconds = self.begun.elapsed().as_secs().max(1);
        let committed = self.committed.load(Ordering::Relaxed) / seconds;
        println!("    ({committed} changes a second were committed)");
    }
}

/// A change of another subject every ten milliseconds, of which few wait at a time.
async fn change_for_ever(ring: KeyRing, committed: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let waiting = Arc::new(Semaphore::new(MOST_WAITING));
    for number in 0_u64.. {
        ticks.tick().await;
        let (ring, committed) = (ring.clone(), Arc::clone(&committed));
        let permit = Arc::clone(&waiting).acquire_owned().await.unwrap();
        tokio::spawn(async move {
            let subject = format!("bob-{number}");
            // The last of them may find no server any more.
            if ring.issue(Grant::new(subject.as_str())).await.is_ok() {
                committed.fetch_add(1, Ordering::Relaxed);
            }
            drop(permit);
        });
    }
}
