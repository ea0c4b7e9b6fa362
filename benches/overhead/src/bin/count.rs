//! Runs requests for callgrind, which counts instructions only within `counted`.
//!
//! A line of the output is a case, in the order of callgrind's files: its name, a tab, its number of
//! requests, a tab, and the case of the bare service with the same requests. `count NAME` runs one case, for
//! a profile of it.
#![allow(clippy::print_stdout, reason = "a program for a script")]
#![allow(clippy::expect_used, reason = "a bench that cannot go on shall stop")]

use http::{Request, StatusCode};
use tower_api_key_overhead::{
    Candidate, Draws, LEAST_HEADERS, MOST_HEADERS, Presented, SCOPES, Setup, Subject,
};

const KEYS: usize = 10_000;
/// Keys with many scopes are there to show growth, for which few are enough.
const FEW_KEYS: usize = 100;
const REQUESTS: usize = 1_000;

/// Requests of one kind to one candidate.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    candidate: Candidate,
    presented: Presented,
    headers: usize,
    bare: &'static str,
}

const fn case(name: &'static str, candidate: Candidate) -> Case {
    Case {
        name,
        candidate,
        presented: Presented::Valid,
        headers: LEAST_HEADERS,
        bare: BARE,
    }
}

impl Case {
    const fn presenting(self, presented: Presented, bare: &'static str) -> Self {
        Self {
            presented,
            bare,
            ..self
        }
    }

    const fn many_headers(self) -> Self {
        Self {
            headers: MOST_HEADERS,
            bare: BARE_MANY_HEADERS,
            ..self
        }
    }
}

const BARE: &str = "bare";
const BARE_WITHOUT_KEY: &str = "bare, no key";
const BARE_MANY_HEADERS: &str = "bare, 60 headers";

const CASES: [Case; 24] = [
    case(BARE, Candidate::Bare),
    case(BARE_WITHOUT_KEY, Candidate::Bare).presenting(Presented::Missing, BARE_WITHOUT_KEY),
    case(BARE_MANY_HEADERS, Candidate::Bare).many_headers(),
    case("floor", Candidate::Floor),
    case("floor + 2 headers", Candidate::FloorGuard),
    case("hand-written", Candidate::ByHand),
    case("hand-written, unknown key", Candidate::ByHand).presenting(Presented::Unknown, BARE),
    case("hand-written, no key", Candidate::ByHand)
        .presenting(Presented::Missing, BARE_WITHOUT_KEY),
    case(
        "hand-written, same refusal, unknown key",
        Candidate::ByHandAlike,
    )
    .presenting(Presented::Unknown, BARE),
    case("hand-written, same refusal, no key", Candidate::ByHandAlike)
        .presenting(Presented::Missing, BARE_WITHOUT_KEY),
    case("layer without guard", Candidate::Layer),
    case("layer", Candidate::Default),
    case("layer, routes", Candidate::Routed),
    case("layer, 60 headers", Candidate::Default).many_headers(),
    case("layer, last use tracked", Candidate::Tracked),
    case("layer, observer", Candidate::Observed),
    case("layer, caller in response", Candidate::Named),
    case("layer, span", Candidate::Traced),
    case("span by hand", Candidate::TracedByHand),
    case("layer, metrics", Candidate::Measured),
    case("layer, replica", Candidate::Replica),
    case("layer, unknown key", Candidate::Default).presenting(Presented::Unknown, BARE),
    case("layer, malformed key", Candidate::Default).presenting(Presented::Malformed, BARE),
    case("layer, no key", Candidate::Default).presenting(Presented::Missing, BARE_WITHOUT_KEY),
];
/// With the number of scopes of their keys.
const GROWTH: [(usize, Case); 4] = [
    (1, case("layer, 1 scope", Candidate::Default)),
    (30, case("layer, 30 scopes", Candidate::Default)),
    (
        10,
        case("layer without guard, 1 of 10 scopes", Candidate::Layer),
    ),
    (
        10,
        case(
            "layer without guard, all of 10 scopes",
            Candidate::AllScopes,
        ),
    ),
];

fn main() {
    let wanted = std::env::args().nth(1);
    let is_wanted = |case: &Case| wanted.as_deref().is_none_or(|name| name == case.name);
    let setup = Setup::new(KEYS, SCOPES);
    for case in CASES.iter().filter(|case| is_wanted(case)) {
        run(&setup, *case);
    }
    for (scopes, case) in GROWTH.iter().filter(|(_, case)| is_wanted(case)) {
        run(&Setup::new(FEW_KEYS, *scopes), *case);
    }
}

fn run(setup: &Setup, case: Case) {
    let right = case.candidate.status(case.presented);
    let right = right.expect("a request that the candidate can serve");
    let mut subject = setup.subject(case.candidate);
    let draws = Draws::random(0);
    let serve = |mut draws: Draws, serve: &mut dyn FnMut(Request<()>) -> StatusCode| {
        for _ in 0..REQUESTS {
            // One at a time, as a server does.
            let request = setup.request(case.presented, case.headers, &mut draws);
            assert_eq!(serve(request), right, "{}", case.name);
        }
    };
    // What a first request of a key does is not counted. If uses are tracked, that is its first in each second.
    let is_tracked = case.candidate == Candidate::Tracked;
    serve(draws.clone(), &mut |request| subject.run(request));
    serve(draws, &mut |request| {
        if is_tracked {
            subject.run(request.clone());
        }
        counted(&mut *subject, request)
    });
    finished(&case);
}

#[inline(never)]
fn counted(subject: &mut dyn Subject, request: Request<()>) -> StatusCode {
    subject.run(request)
}

/// Callgrind writes its counts before each call, and begins anew.
#[inline(never)]
fn finished(case: &Case) {
    println!("{}\t{REQUESTS}\t{}", case.name, case.bare);
}
