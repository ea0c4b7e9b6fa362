//! Net times of candidates that take turns.

use std::time::Instant;

use tower_api_key_overhead::{Candidate, Draws, LEAST_HEADERS, Presented, Setup, Subject};

/// Requests of one turn. A turn is longer than a reading of the clock, and shorter than most
/// disturbances of the machine.
pub(crate) const BATCH: u16 = 32;
const ROUNDS: usize = 4_000;

/// Candidates that are compared, and their requests.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pub(crate) candidates: &'a [Candidate],
    pub(crate) presented: Presented,
    pub(crate) headers: usize,
}

impl<'a> Group<'a> {
    /// Requests with a valid key and few headers.
    pub(crate) const fn valid(candidates: &'a [Candidate]) -> Self {
        Self {
            candidates,
            presented: Presented::Valid,
            headers: LEAST_HEADERS,
        }
    }
}

struct Runner {
    candidate: Candidate,
    subject: Box<dyn Subject>,
    samples: Vec<f64>,
}

/// Median nanoseconds per request of each candidate, less that of the bare service in the same turns.
pub(crate) fn net(setup: &Setup, group: &Group<'_>, once: bool) -> Vec<(Candidate, f64)> {
    let mut draws = Draws::random(0);
    let candidates = [Candidate::Bare].into_iter();
    let mut runners: Vec<Runner> = candidates
        .chain(group.candidates.iter().copied())
        .map(|candidate| Runner {
            candidate,
            subject: setup.subject(candidate),
            samples: Vec::new(),
        })
        .collect();
    for _ in 0..if once { 1 } else { ROUNDS } {
        for runner in &mut runners {
            let sample = time(setup, group, &mut *runner.subject, &mut draws);
            runner.samples.push(sample);
        }
        // No candidate always follows the same other one.
        let (first, second) = (draws.next(runners.len()), draws.next(runners.len()));
        runners.swap(first, second);
    }
    let medians: Vec<(Candidate, f64)> = runners
        .into_iter()
        .map(|runner| (runner.candidate, median(runner.samples)))
        .collect();
    let bare = medians
        .iter()
        .find(|(candidate, _)| *candidate == Candidate::Bare)
        .map_or(f64::NAN, |(_, median)| *median);
    medians
        .into_iter()
        .filter(|(candidate, _)| *candidate != Candidate::Bare)
        .map(|(candidate, median)| (candidate, median - bare))
        .collect()
}

/// Nanoseconds per request over one turn, in which the requests are built too.
pub(crate) fn time(
    setup: &Setup,
    group: &Group<'_>,
    subject: &mut dyn Subject,
    draws: &mut Draws,
) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        subject.run(setup.request(group.presented, group.headers, draws));
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
}

pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
