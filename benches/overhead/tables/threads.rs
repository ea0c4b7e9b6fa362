//! How much more two threads do than one.

use std::sync::Barrier;

use tower_api_key_overhead::{Candidate, Draws, Setup, median, turn as one_turn};

use crate::measure::{Group, case};

/// The candidates, with the bare service: what allocator and machine allow.
pub(crate) const CANDIDATES: [Candidate; 4] = [
    Candidate::Bare,
    Candidate::Floor,
    Candidate::ByHand,
    Candidate::Layer,
];
const PAIRS: usize = 15;
const TURNS: usize = 256;
/// Turns between two meetings of the threads: long enough that both work at the same time.
const TOGETHER: usize = 64;

pub(crate) fn report(setup: &Setup, once: bool) {
    for candidate in CANDIDATES {
        for (name, hot) in [("random", false), ("hot", true)] {
            let ratios = (0..if once { 1 } else { PAIRS })
                .map(|_| {
                    let turns = if once { 1 } else { TURNS };
                    let single = together(setup, candidate, hot, 1, turns);
                    let pair = together(setup, candidate, hot, 2, turns);
                    2.0 * single / pair
                })
                .collect();
            println!("{name}/{}\t{}", candidate.name(), median(ratios));
        }
    }
}

/// The median nanoseconds per request of threads that work at the same time, the bare service included.
fn together(setup: &Setup, candidate: Candidate, hot: bool, threads: u64, turns: usize) -> f64 {
    let barrier = Barrier::new(usize::try_from(threads).unwrap());
    let work = &|thread: u64| {
        let draws = if hot {
            Draws::Hot
        } else {
            Draws::random(thread)
        };
        let mut case = case(setup, &Group::valid(&[]), candidate, draws);
        let mut samples = Vec::new();
        for turn in 0..turns {
            if turn % TOGETHER == 0 {
                barrier.wait();
            }
            samples.push(one_turn(&mut *case));
        }
        samples
    };
    let samples = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    median(samples)
}
