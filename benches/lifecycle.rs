//! The cost of key changes for verification.
//!
//! `cargo bench -p tower-api-key-tests --bench lifecycle` prints medians and ratios whose sides take turns in one run, so
//! that a noisy machine disturbs both alike. `-- --test` runs everything once, on few keys.
//! `-- --writers` and `-- --memory` run one part alone.
#![allow(clippy::print_stdout, reason = "a bench reports to its reader")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot go on shall stop"
)]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

#[path = "lifecycle/memory.rs"]
mod memory;
#[path = "lifecycle/writers.rs"]
mod writers;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower_api_key::{Grant, KeyRing};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let once = has("--test");
    let all = !["--writers", "--memory"].iter().any(|part| has(part));
    if all || has("--memory") {
        memory::over_many_pairs(if once { 20_000 } else { 1_000_000 });
    }
    if all || has("--writers") {
        let sizes: &[usize] = if once { &[100] } else { &[10_000, 1_000_000] };
        for &size in sizes {
            writers::beside_a_verifier(size, once);
        }
    }
}

/// The output of a future that is ready at the first poll, as every in-memory future is.
fn now<T>(future: impl Future<Output = T>) -> T {
    let future = pin!(future);
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory answers at once"),
    }
}

/// The plaintexts of this many new keys.
fn keys(ring: &KeyRing, count: usize) -> Vec<String> {
    (0..count)
        .map(|index| {
            let subject = format!("subject-{index}");
            let grant = Grant::new(subject).scopes(["orders:read"]);
            now(ring.issue(grant))
                .unwrap()
                .into_secret()
                .expose()
                .to_owned()
        })
        .collect()
}

/// Draws evenly at almost no cost.
struct Draws(u64);

impl Draws {
    fn next(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        usize::try_from(bits % count as u64).expect("an index")
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
