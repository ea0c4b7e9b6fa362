//! Writers that are killed with SIGKILL, over and over, on one store.
//!
//! A writer is this program again, in its own process. It writes a line for each change that it
//! begins and for each that was acknowledged. The test kills it after some of these lines and
//! checks the store. A change that was acknowledged must be complete. A change that was under way
//! must be complete or absent. Every last use that was acknowledged must be in the store.
//!
//! Each test kills 200 writers, or as many as `CRASH_ROUNDS` says.

mod ledger;
mod postgres;
mod sqlite;
mod writer;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tower_api_key::{KeyRing, KeyRingBuilder};
use tower_api_key_sqlite::SqliteStore;

use crate::pg_server::patient;
use crate::process::Running;
use ledger::Ledger;

/// The path of the file with the writer's store.
const FILE: &str = "CRASHES_FILE";
/// The URL of the database with the writer's store.
const DATABASE: &str = "CRASHES_DATABASE";
/// The seed of the writer's operations.
const SEED: &str = "CRASHES_SEED";

const ROUNDS: u64 = 200;
/// The most lines of a writer's life.
const MOST_LINES: u64 = 24;
/// The most turns of an empty loop between the last line and the writer's end: a part of the time
/// of a change, so that the kills come at any moment of it.
const MOST_TURNS: u64 = 100_000;
const SIGKILL: i32 = 9;

#[test]
#[ignore = "a process of its own, which other tests start and kill"]
fn writer() {
    let Ok(seed) = env::var(SEED) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let ring = ring_in_environment().await;
        writer::work(&ring, seed.parse().unwrap()).await;
    });
}

/// The ring of a writer, with real time.
async fn ring_in_environment() -> KeyRing {
    if let Ok(path) = env::var(FILE) {
        return ring().build(SqliteStore::open(path).unwrap()).unwrap();
    }
    if let Ok(url) = env::var(DATABASE) {
        let store = patient().connect(&url).await.unwrap();
        return ring().build(store).unwrap();
    }
    panic!("no store is named");
}

fn ring() -> KeyRingBuilder {
    KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(Duration::from_mins(1))
        .track_last_use()
}

fn rounds() -> u64 {
    match env::var("CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("CRASH_ROUNDS is a number"),
        Err(_) => ROUNDS,
    }
}

/// The life and end of one writer. The ledger receives each of its lines.
fn kill_a_writer(ledger: &mut Ledger, place: (&str, &str), round: u64) {
    let mut random = Random(round);
    let lines = 1 + random.below(MOST_LINES);
    let seed = round.to_string();
    let writer = Running::again("crashes::writer", [place, (SEED, &seed)]);
    let mut heard = 0;
    while heard < lines {
        let Some(line) = writer.next_line() else {
            panic!("round {round}: {:?}", writer.end());
        };
        heard += u64::from(ledger.hear(&line));
    }
    for _ in 0..random.below(MOST_TURNS) {
        std::hint::spin_loop();
    }
    let ended = writer.kill();
    assert_eq!(ended.status.signal(), Some(SIGKILL), "{ended:?}");
    // Its lines before it died count, even if they were not read yet.
    for line in &ended.stdout {
        ledger.hear(line);
    }
}

/// The same numbers in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
