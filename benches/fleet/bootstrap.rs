//! How long a node takes to hold all keys.

use std::fs;
use std::time::{Duration, Instant};

use tower_api_key_test_support::pg_server::{PgServer, execute};

use crate::nodes::{Nodes, fill};

/// Keys that are inserted by one statement.
const STEP: u64 = 1_000_000;

pub(crate) async fn run(once: bool, large: bool) {
    let sizes: &[u64] = match (once, large) {
        (true, _) => &[1_000],
        (false, false) => &[1_000_000],
        (false, true) => &[1_000_000, 10_000_000],
    };
    let server = PgServer::start("off");
    let url = server.database().await;
    let mut filled = 0;
    for &keys in sizes {
        while filled < keys {
            let next = keys.min(filled + STEP);
            fill(&url, filled + 1, next).await;
            filled = next;
        }
        execute(&url, "VACUUM ANALYZE tower_api_keys")
            .await
            .unwrap();
        let (before, begun) = (memory(), Instant::now());
        let nodes = Nodes::start(&url, 1, Duration::from_millis(50)).await;
        let took = begun.elapsed();
        let bytes = memory().saturating_sub(before) / keys;
        assert_eq!(nodes.replicas[0].len() as u64, keys);
        println!(
            "\n{keys} keys are held after {:.1} s, {bytes} bytes each",
            took.as_secs_f64()
        );
    }
}

/// Resident memory of this process, in bytes.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1_024
}
