//! Keys to draw from, and candidates that take turns.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tower_api_key::store::MemoryStore;
use tower_api_key::{Grant, KeyRecord, KeyRing};

/// Calls of one candidate before the next has its turn.
const BATCH: usize = 32;

/// A key in the form of a client, and in that of a store.
pub(crate) struct Key {
    pub(crate) plaintext: String,
    pub(crate) record: KeyRecord,
}

/// This many keys of a ring `acme`, each with its own subject and two scopes.
pub(crate) fn keys(count: usize) -> Vec<Key> {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let runtime = runtime();
    (0..count)
        .map(|number| {
            let grant =
                Grant::new(format!("customer-{number}")).scopes(["orders:read", "orders:write"]);
            let issued = runtime.block_on(ring.issue(grant)).unwrap();
            Key {
                record: KeyRecord::clone(issued.record()),
                plaintext: issued.secret().expose().to_owned(),
            }
        })
        .collect()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// Draws numbers below a bound (`splitmix64`).
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % bound as u64).unwrap()
    }
}

/// One way to look up the key of this number.
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'static str,
    pub(crate) look_up: Box<dyn FnMut(usize) + 'a>,
}

/// Measures each call of the candidates, which take turns, and prints medians, 99th percentiles and
/// the ratios to the first.
pub(crate) fn take_turns(keys: &[Key], rounds: usize, mut candidates: Vec<Candidate<'_>>) {
    let mut samples: Vec<Vec<f64>> = candidates.iter().map(|_| Vec::new()).collect();
    // Each draws its own keys, so that none benefits from the cache of another.
    let mut draw = Draw::new(1);
    for _ in 0..rounds {
        for (candidate, samples) in candidates.iter_mut().zip(&mut samples) {
            for _ in 0..BATCH {
                let number = draw.below(keys.len());
                // The key of a request was read just before, so that the processor has it at hand.
                let Key { plaintext, record } = &keys[number];
                black_box((plaintext.clone(), *record.digest()));
                let start = Instant::now();
                (candidate.look_up)(number);
                samples.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    let mut first = None;
    for (candidate, mut samples) in candidates.iter().zip(samples) {
        samples.sort_by(f64::total_cmp);
        let median = samples[samples.len() / 2];
        let high = samples[samples.len() * 99 / 100];
        let (bare, bare_high) = *first.get_or_insert((median, high));
        println!(
            "  {:<34} median {median:>7.2} µs ({:.2} x)   p99 {high:>7.2} µs ({:.2} x)",
            candidate.name,
            median / bare,
            high / bare_high
        );
    }
}

/// Prints how many of these fit into a second.
pub(crate) fn print_rate(name: &str, count: usize, took: Duration) {
    let count = f64::from(u32::try_from(count).unwrap());
    println!("  {name:<34} {:>8.0} /s", count / took.as_secs_f64());
}

/// Prints the load of the machine from other work, if the system reports it.
pub(crate) fn print_load() {
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        println!("load {}", load.trim());
    }
}
