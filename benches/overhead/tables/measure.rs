//! Net times of candidates that take turns.

use tower_api_key_overhead::{Candidate, Case, Draws, LEAST_HEADERS, Presented, Setup, take_turns};

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

/// Median nanoseconds per request of each candidate, less that of the bare service in the same turns.
pub(crate) fn net(setup: &Setup, group: &Group<'_>, once: bool) -> Vec<(Candidate, f64)> {
    let candidates = group.candidates.iter().copied();
    let mut cases: Vec<Case<'_>> = [Candidate::Bare]
        .into_iter()
        .chain(candidates.clone())
        .zip(0..)
        .map(|(candidate, seed)| case(setup, group, candidate, Draws::random(seed)))
        .collect();
    let medians = take_turns(&mut cases, if once { 1 } else { ROUNDS });
    let net = medians[1..].iter().map(|median| median - medians[0]);
    candidates.zip(net).collect()
}

/// A candidate with the requests of the group.
pub(crate) fn case<'a>(
    setup: &'a Setup,
    group: &Group<'_>,
    candidate: Candidate,
    mut draws: Draws,
) -> Case<'a> {
    let Group {
        presented, headers, ..
    } = *group;
    let mut subject = setup.subject(candidate);
    Box::new(move || {
        subject.run(setup.request(presented, headers, &mut draws));
    })
}
