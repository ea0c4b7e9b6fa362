//! Times of cases that take turns.

use std::time::Instant;

use crate::keys::Draws;

/// Requests of one turn. A turn is longer than a reading of the clock, and shorter than most
/// disturbances of the machine.
const BATCH: u16 = 32;

/// Serves one request, which it builds.
pub type Case<'a> = Box<dyn FnMut() + 'a>;

/// Median nanoseconds per request of each case, in the order of the cases.
///
/// They take turns, batch by batch, so that the noise of the machine disturbs all alike.
pub fn take_turns(cases: &mut [Case<'_>], rounds: usize) -> Vec<f64> {
    let mut draws = Draws::random(0);
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for &index in &order {
            samples[index].push(turn(&mut *cases[index]));
        }
        // No case always follows the same other one.
        let (first, second) = (draws.next(order.len()), draws.next(order.len()));
        order.swap(first, second);
    }
    samples.into_iter().map(median).collect()
}

/// Nanoseconds per request over one turn.
#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn turn(case: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        case();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
}

/// The middle of the samples, of which there must be one.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_its_turns_and_its_median() {
        let mut counts = [0_u16; 3];
        let mut cases: Vec<Case<'_>> = Vec::new();
        for count in &mut counts {
            cases.push(Box::new(|| *count += 1));
        }
        assert_eq!(take_turns(&mut cases, 5).len(), 3);
        drop(cases);
        assert_eq!(counts, [5 * BATCH; 3]);
        assert_eq!(median(vec![9.0, 1.0, 4.0]).to_bits(), 4.0_f64.to_bits());
    }
}
