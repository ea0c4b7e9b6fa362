//! Medians and ratios of one run in which the candidates take turns.

use std::sync::Barrier;
use std::time::Instant;

use http::Request;

use crate::candidates::{Bench, Candidate, Keys, Subject};

/// Requests that are built before the clock starts. They are few enough to stay in the cache, as
/// they would be if a server had just parsed them.
const BATCH: usize = 32;
const ROUNDS: usize = 4_000;

/// The candidates that take turns. In one group no two candidates read the same records, so that
/// none benefits from the cache of another.
const LIKE_WITH_LIKE: [Candidate; 4] = [
    Candidate::Floor,
    Candidate::HandRolled,
    Candidate::HandTuned,
    Candidate::Layer,
];
const WITH_GUARD: [Candidate; 2] = [Candidate::FloorGuard, Candidate::LayerGuard];
/// The cost of a refusal, compared with a valid key. Here all candidates read the ring.
const REFUSALS: [Candidate; 7] = [
    Candidate::Bare,
    Candidate::LayerGuard,
    Candidate::Refusal,
    Candidate::Missing,
    Candidate::Malformed,
    Candidate::Unknown,
    Candidate::Insufficient,
];

/// Prints nanoseconds per request, and the ratios to the floor and to the hand-written layer.
pub(crate) fn one_thread(bench: &Bench, once: bool) {
    let rounds = if once { 1 } else { ROUNDS };
    println!("\n{} keys, drawn at random, one thread", bench.size());

    let medians = take_turns(bench, &LIKE_WITH_LIKE, rounds);
    let layer = medians.of(Candidate::Layer);
    for other in [
        Candidate::Floor,
        Candidate::HandRolled,
        Candidate::HandTuned,
    ] {
        print_ratio("layer", layer, other.name(), medians.of(other));
    }

    let medians = take_turns(bench, &WITH_GUARD, rounds);
    let (guarded, floor) = (Candidate::LayerGuard, Candidate::FloorGuard);
    print_ratio(
        guarded.name(),
        medians.of(guarded),
        floor.name(),
        medians.of(floor),
    );

    let medians = take_turns(bench, &REFUSALS, rounds);
    // The request is dropped once, so the cost of the bare service counts once.
    let budget = medians.of(guarded) - medians.of(Candidate::Bare) + medians.of(Candidate::Refusal);
    for refused in [Candidate::Missing, Candidate::Malformed, Candidate::Unknown] {
        let name = refused.name();
        print_ratio(name, medians.of(refused), "valid key + building it", budget);
    }
}

fn print_ratio(ours: &str, cost: f64, others: &str, reference: f64) {
    println!("    {ours} / {others}: {:.2}", cost / reference);
}

/// Median nanoseconds per request.
struct Medians(Vec<(Candidate, f64)>);

impl Medians {
    fn of(&self, wanted: Candidate) -> f64 {
        self.0
            .iter()
            .find(|(candidate, _)| *candidate == wanted)
            .map_or(f64::NAN, |(_, median)| *median)
    }
}

/// Measures and prints a group whose candidates take turns, batch by batch.
fn take_turns(bench: &Bench, group: &[Candidate], rounds: usize) -> Medians {
    let mut keys = Keys::random();
    let mut subjects: Vec<(Candidate, Subject, Vec<f64>)> = group
        .iter()
        .map(|&candidate| (candidate, bench.subject(candidate), Vec::new()))
        .collect();
    for _ in 0..rounds {
        for (candidate, subject, samples) in &mut subjects {
            let requests = requests(bench, *candidate, &mut keys, BATCH);
            samples.push(time(requests, subject));
        }
    }
    let medians: Vec<(Candidate, f64)> = subjects
        .into_iter()
        .map(|(candidate, _, samples)| (candidate, median(samples)))
        .collect();
    for (candidate, median) in &medians {
        println!("  {:<26} {median:>8.1} ns", candidate.name());
    }
    Medians(medians)
}

/// Prints how much more two threads do than one, on random keys and on one hot key.
pub(crate) fn two_threads(bench: &Bench, once: bool) {
    let rounds = if once { 1 } else { ROUNDS };
    println!("{} keys, two threads to one", bench.size());
    for candidate in [Candidate::Floor, Candidate::Layer] {
        for (name, hot) in [("random keys", false), ("one hot key", true)] {
            let ratios = (0..if once { 1 } else { 5 })
                .map(|_| {
                    let single = together(bench, candidate, hot, 1, rounds / 20 + 1);
                    let pair = together(bench, candidate, hot, 2, rounds / 20 + 1);
                    2.0 * single / pair
                })
                .collect();
            println!("  {:<16} {name} {:.2} x", candidate.name(), median(ratios));
        }
    }
}

/// The median nanoseconds per request of threads that work at the same time.
fn together(bench: &Bench, candidate: Candidate, hot: bool, threads: usize, rounds: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let samples = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64)
            .map(|index| {
                let barrier = &barrier;
                scope.spawn(move || {
                    // Each thread draws its own keys.
                    let mut keys = if hot { Keys::Hot } else { Keys::seeded(index) };
                    let mut subject = bench.subject(candidate);
                    (0..rounds)
                        .map(|_| {
                            let requests = requests(bench, candidate, &mut keys, 8 * BATCH);
                            // All are in the timed part together.
                            barrier.wait();
                            time(requests, &mut subject)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no candidate panics"))
            .collect()
    });
    median(samples)
}

fn requests(
    bench: &Bench,
    candidate: Candidate,
    keys: &mut Keys,
    count: usize,
) -> Vec<Request<()>> {
    (0..count).map(|_| bench.request(candidate, keys)).collect()
}

/// Nanoseconds per request over one batch.
fn time(requests: Vec<Request<()>>, subject: &mut Subject) -> f64 {
    let count = u32::try_from(requests.len()).expect("a batch is small");
    let start = Instant::now();
    for request in requests {
        subject(request);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
