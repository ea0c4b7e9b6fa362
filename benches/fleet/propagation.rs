//! How soon every node refuses a revoked key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tower_api_key::{Grant, KeyRing, RevocationReason};
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};

use crate::nodes::{Nodes, PREFIX, fill, percentiles};

const INTERVAL: Duration = Duration::from_millis(50);
/// Changes that are not committed yet. Without a bound, a machine that is too slow for them gets ever slower.
const MOST_WAITING: usize = 8;

pub(crate) async fn run(once: bool) {
    let (most, revocations) = if once { (3, 2) } else { (100, 100) };
    println!("\nrevocation acknowledged until refused by a node, a pull each {INTERVAL:?}");
    let server = PgServer::start("on");
    let url = server.database().await;
    let ring = KeyRing::builder(PREFIX)
        .build(patient().connect(&url).await.unwrap())
        .unwrap();
    for count in [most.min(10), most] {
        let nodes = Nodes::start(&url, count, INTERVAL).await;
        // A statement by hand notifies nobody, so the nodes hear of it by their pulls alone.
        report(&ring, &nodes, &url, revocations, "by SQL, polling alone").await;
        report(&ring, &nodes, "", revocations, "by the crate").await;
        if count == most {
            let committed = Arc::new(AtomicU64::new(0));
            let changing = Instant::now();
            let changes = tokio::spawn(change_for_ever(ring.clone(), Arc::clone(&committed)));
            report(
                &ring,
                &nodes,
                &url,
                revocations,
                "beside 100 changes a second",
            )
            .await;
            let dead = if once { 100 } else { 100_000 };
            let what = format!("beside 100 changes a second and a purge of {dead} keys");
            purging(&ring, &nodes, &url, revocations, dead, &what).await;
            changes.abort();
            let seconds = changing.elapsed().as_secs().max(1);
            println!(
                "    ({} changes a second were committed)",
                committed.load(Ordering::Relaxed) / seconds
            );
            let what = format!("beside a purge of {dead} keys");
            purging(&ring, &nodes, &url, revocations, dead, &what).await;
        }
    }
}

/// Reports while this many keys are purged that have ended.
async fn purging(
    ring: &KeyRing,
    nodes: &Nodes,
    url: &str,
    revocations: usize,
    dead: u64,
    what: &str,
) {
    fill(url, 1, dead).await;
    let end = "UPDATE tower_api_keys SET expires_at = 2, version = 2 WHERE label IS NOT NULL";
    execute(url, end).await.unwrap();
    // What was written for the purge is no part of it.
    let last = ring.issue(Grant::new("alice")).await.unwrap();
    accepted(nodes, last.secret().expose().as_bytes()).await;
    let purging = ring.clone();
    let purge = tokio::spawn(async move {
        let begun = Instant::now();
        (purging.purge().await.unwrap(), begun.elapsed())
    });
    report(ring, nodes, url, revocations, what).await;
    let is_over = purge.is_finished();
    let (removed, took) = purge.await.unwrap();
    println!(
        "    (the purge removed {removed} keys in {:.1} s, and ended {} the last revocation)",
        took.as_secs_f64(),
        if is_over { "before" } else { "after" }
    );
}

/// Issues a key, waits until all nodes have it, revokes it, and looks at the nodes until all refuse it.
async fn report(ring: &KeyRing, nodes: &Nodes, by_hand: &str, revocations: usize, what: &str) {
    let (mut sample, begun) = (Vec::new(), Instant::now());
    let processor = nodes.server.time();
    for _ in 0..revocations {
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
        let mut left: Vec<&KeyRing> = nodes.rings.iter().collect();
        while !left.is_empty() {
            let mut accepting = Vec::new();
            for node in left {
                if node.verify(key).await.is_ok() {
                    accepting.push(node);
                } else {
                    sample.push(revoked_at.elapsed());
                }
            }
            left = accepting;
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    }
    let processor = nodes.server.time().saturating_sub(processor);
    println!(
        "{} nodes, {what}: {}; {:.2} processors of Postgres",
        nodes.rings.len(),
        percentiles(&mut sample),
        processor.as_secs_f64() / begun.elapsed().as_secs_f64()
    );
}

/// Waits until each node has a key.
async fn accepted(nodes: &Nodes, key: &[u8]) {
    for node in &nodes.rings {
        while node.verify(key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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
            ring.issue(Grant::new(subject.as_str())).await.unwrap();
            committed.fetch_add(1, Ordering::Relaxed);
            drop(permit);
        });
    }
}
