//! Verifying while another thread issues and revokes.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tower_api_key::store::MemoryStore;
use tower_api_key::{Grant, KeyRing, RevocationReason};

use crate::{Draws, keys, median, now};

const BATCH: u16 = 32;
const TURNS: usize = 60;
const WINDOW: Duration = Duration::from_millis(60);

/// The work of the other thread while the verifier is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Beside {
    /// It sleeps.
    Nobody,
    /// It writes to the verifier's store.
    Writer,
    /// It does the same to its own store: the cost of two busy threads on this machine, whatever
    /// they share.
    Stranger,
}

impl Beside {
    const ALL: [Self; 3] = [Self::Nobody, Self::Writer, Self::Stranger];
}

struct Task {
    beside: AtomicU8,
    /// The writer has seen its next task.
    begun: AtomicU8,
    over: AtomicBool,
    pairs: AtomicU64,
}

impl Task {
    fn set(&self, beside: Beside, writer: &thread::Thread) {
        self.beside.store(beside as u8, Ordering::Release);
        writer.unpark();
        while self.begun.load(Ordering::Acquire) != beside as u8 {
            thread::yield_now();
        }
    }
}

/// Prints the verifier's median alone, next to a writer, and next to a writer to another store.
pub(crate) fn beside_a_verifier(size: usize, once: bool) {
    let ring = ring();
    let live = keys(&ring, size);
    let other = self::ring();
    let task = Task {
        beside: AtomicU8::new(Beside::Nobody as u8),
        begun: AtomicU8::new(Beside::Nobody as u8),
        over: AtomicBool::new(false),
        pairs: AtomicU64::new(0),
    };
    let mut samples = Beside::ALL.map(|_| Vec::new());
    let mut written = Duration::ZERO;
    let mut pairs = 0;
    thread::scope(|threads| {
        let writer = threads.spawn(|| write(&task, &ring, &other));
        let writer = writer.thread();
        let mut draws = Draws(7);
        for turn in 0..if once { 1 } else { TURNS } {
            // The first in a round has the fewest dead records, so each goes first in its turn.
            for place in 0..Beside::ALL.len() {
                let beside = Beside::ALL[(turn + place) % Beside::ALL.len()];
                task.set(beside, writer);
                let (start, before) = (Instant::now(), task.pairs.load(Ordering::Relaxed));
                verify_for(
                    WINDOW,
                    &ring,
                    &live,
                    &mut draws,
                    &mut samples[beside as usize],
                );
                if beside == Beside::Writer {
                    written += start.elapsed();
                    pairs += task.pairs.load(Ordering::Relaxed) - before;
                }
                task.set(Beside::Nobody, writer);
            }
            now(ring.purge()).unwrap();
            now(other.purge()).unwrap();
        }
        task.over.store(true, Ordering::Release);
        writer.unpark();
    });
    let [alone, beside, stranger] = samples.map(|mut samples| median(&mut samples));
    println!("\n{size} live keys, drawn at random, one thread that verifies");
    println!("  alone                      {alone:>8.1} ns");
    println!("  beside a writer            {beside:>8.1} ns");
    println!("  beside a writer elsewhere  {stranger:>8.1} ns");
    println!("    beside a writer / alone: {:.2}", beside / alone);
    println!(
        "    beside a writer elsewhere / alone: {:.2}",
        stranger / alone
    );
    let rate = u128::from(pairs) * 1_000_000 / written.as_micros().max(1);
    println!("  the writer meanwhile: {rate} pairs of issue and revoke a second");
}

fn ring() -> KeyRing {
    KeyRing::builder("acme_live")
        .retention(Duration::ZERO)
        .build(MemoryStore::new())
        .unwrap()
}

/// Nanoseconds per verification, batch by batch, for this long.
fn verify_for(
    window: Duration,
    ring: &KeyRing,
    live: &[String],
    draws: &mut Draws,
    samples: &mut Vec<f64>,
) {
    let begun = Instant::now();
    while begun.elapsed() < window {
        let keys: [&str; BATCH as usize] = std::array::from_fn(|_| &*live[draws.next(live.len())]);
        // Read once, so that the store is timed and not this list.
        black_box(
            keys.iter()
                .map(|key| u32::from(key.as_bytes()[50]))
                .sum::<u32>(),
        );
        let start = Instant::now();
        for key in keys {
            black_box(now(ring.verify(key.as_bytes())).is_ok());
        }
        samples.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
}

fn write(task: &Task, ring: &KeyRing, other: &KeyRing) {
    while !task.over.load(Ordering::Acquire) {
        let beside = task.beside.load(Ordering::Acquire);
        task.begun.store(beside, Ordering::Release);
        if beside == Beside::Nobody as u8 {
            thread::park();
            continue;
        }
        let ring = if beside == Beside::Writer as u8 {
            ring
        } else {
            other
        };
        let issued = now(ring.issue(Grant::new("passing"))).unwrap();
        now(ring.revoke(issued.record().id(), RevocationReason::Unspecified)).unwrap();
        task.pairs.fetch_add(1, Ordering::Relaxed);
    }
}
