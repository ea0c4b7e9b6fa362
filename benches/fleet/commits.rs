//! What the change feed costs those who write.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tower_api_key::{Grant, KeyRing};
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};

use crate::nodes::{Nodes, PREFIX};

const WRITERS: usize = 16;
const TRIGGERS: [&str; 4] = [
    "tower_api_keys_inserted",
    "tower_api_keys_updated",
    "tower_api_keys_deleted",
    "tower_api_keys_truncated",
];

pub(crate) async fn run(once: bool) {
    let (rounds, keys) = if once { (1, WRITERS) } else { (15, 1_600) };
    let server = PgServer::start("on");
    let url = server.database().await;
    let ring = KeyRing::builder(PREFIX)
        .build(patient().max_connections(20).connect(&url).await.unwrap())
        .unwrap();
    println!(
        "\ncommits a second by {WRITERS} writers that issue keys, medians of {rounds} rounds in turns"
    );
    issue(&ring, keys).await;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        set_triggers(&url, "DISABLE TRIGGER").await;
        without.push(issue(&ring, keys).await);
        set_triggers(&url, "ENABLE ALWAYS TRIGGER").await;
        with.push(issue(&ring, keys).await);
    }
    let nodes = Nodes::start(&url, if once { 1 } else { 10 }, Duration::from_millis(50)).await;
    let mut followed = Vec::new();
    for _ in 0..rounds {
        followed.push(issue(&ring, keys).await);
    }
    let without = median(without);
    println!("without the feed {without:.0}");
    for (what, rates) in [
        ("with the feed", with),
        ("and ten nodes that follow", followed),
    ] {
        let rate = median(rates);
        println!("{what} {rate:.0}, {:.2} of that", rate / without);
    }
    drop(nodes);
}

async fn set_triggers(url: &str, verb: &str) {
    let verbs: Vec<String> = TRIGGERS
        .iter()
        .map(|name| format!("{verb} {name}"))
        .collect();
    let alter = format!("ALTER TABLE tower_api_keys {}", verbs.join(", "));
    execute(url, &alter).await.unwrap();
}

/// Commits a second.
async fn issue(ring: &KeyRing, keys: usize) -> f64 {
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let ring = ring.clone();
        writers.spawn(async move {
            for number in 0..keys / WRITERS {
                let subject = format!("subject-{writer}-{number}");
                let grant = Grant::new(subject).scopes(["orders:read", "orders:write"]);
                ring.issue(grant).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    #[expect(clippy::cast_precision_loss, reason = "some thousand")]
    let keys = keys as f64;
    keys / begun.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}
