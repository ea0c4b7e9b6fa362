//! The parts of the report, each measured in processes of its own.

use std::fmt;

use tower_api_key_overhead::{Candidate, LEAST_HEADERS, MOST_HEADERS, Presented, SCOPES, Setup};

use crate::measure::{Group, net};
use crate::{end_to_end, memory, threads};

/// The argument that makes a process measure one part.
pub(crate) const CHILD: &str = "--part";

pub(crate) const SCOPE_COUNTS: [usize; 5] = [1, 3, 10, 30, 100];
pub(crate) const HEADERS: [usize; 3] = [LEAST_HEADERS, 20, MOST_HEADERS];
/// The scopes of a key of which a requirement names all.
pub(crate) const REQUIRED: usize = 10;

/// What no two candidates read in common.
const LIKE_WITH_LIKE: [Candidate; 3] = [Candidate::Floor, Candidate::ByHand, Candidate::Layer];
const WITH_GUARD: [Candidate; 2] = [Candidate::FloorGuard, Candidate::Default];
const REFUSING: [Candidate; 3] = [
    Candidate::ByHand,
    Candidate::ByHandAlike,
    Candidate::Default,
];
/// What the default layer is compared with, each alone: one that reads the same table would bring it into the cache.
pub(crate) const EXTRAS: [Candidate; 7] = [
    Candidate::Routed,
    Candidate::Tracked,
    Candidate::Observed,
    Candidate::Named,
    Candidate::Traced,
    Candidate::TracedByHand,
    Candidate::Measured,
];

/// The same records in the store and in a copy.
const COPIED: [Candidate; 2] = [Candidate::Default, Candidate::Replica];

/// A part of the report. A number is one of keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Requests(usize),
    Scopes(usize),
    Headers(usize),
    Extras(usize),
    /// In no report: it answers how much more a replica costs, for many keys.
    Replica(usize),
    Threads(usize),
    EndToEnd(usize),
    Memory(memory::Kind, usize),
}

impl Part {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (name, keys) = name.rsplit_once(' ')?;
        let keys = keys.parse().ok()?;
        Some(match name {
            "requests" => Self::Requests(keys),
            "scopes" => Self::Scopes(keys),
            "headers" => Self::Headers(keys),
            "extras" => Self::Extras(keys),
            "replica" => Self::Replica(keys),
            "threads" => Self::Threads(keys),
            "hyper" => Self::EndToEnd(keys),
            _ => Self::Memory(memory::Kind::from_name(name)?, keys),
        })
    }

    /// Measures, and prints a line for each figure: its name, a tab, its value.
    pub(crate) fn run(self, once: bool) {
        match self {
            Self::Requests(keys) => requests(&Setup::new(keys, SCOPES), once),
            Self::Scopes(keys) => scopes(keys, once),
            Self::Headers(keys) => headers(&Setup::new(keys, SCOPES), once),
            Self::Extras(keys) => {
                let setup = Setup::new(keys, SCOPES);
                for extra in EXTRAS {
                    let pair = [Candidate::Default, extra];
                    let start = format!("{}/", extra.name());
                    print(&start, net(&setup, &Group::valid(&pair), once));
                }
            }
            Self::Replica(keys) => {
                let setup = Setup::new(keys, SCOPES);
                print("", net(&setup, &Group::valid(&COPIED), once));
            }
            Self::Threads(keys) => threads::report(&Setup::new(keys, SCOPES), once),
            Self::EndToEnd(keys) => end_to_end::report(keys, once),
            Self::Memory(kind, keys) => memory::report(kind, keys),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(keys) => write!(f, "requests {keys}"),
            Self::Scopes(keys) => write!(f, "scopes {keys}"),
            Self::Headers(keys) => write!(f, "headers {keys}"),
            Self::Extras(keys) => write!(f, "extras {keys}"),
            Self::Replica(keys) => write!(f, "replica {keys}"),
            Self::Threads(keys) => write!(f, "threads {keys}"),
            Self::EndToEnd(keys) => write!(f, "hyper {keys}"),
            Self::Memory(kind, keys) => write!(f, "{} {keys}", kind.name()),
        }
    }
}

fn requests(setup: &Setup, once: bool) {
    for group in [&LIKE_WITH_LIKE[..], &WITH_GUARD] {
        print("valid/", net(setup, &Group::valid(group), once));
    }
    for presented in [Presented::Unknown, Presented::Malformed, Presented::Missing] {
        let group = Group {
            presented,
            ..Group::valid(&REFUSING)
        };
        print(&format!("{}/", presented.name()), net(setup, &group, once));
    }
}

fn scopes(keys: usize, once: bool) {
    for count in SCOPE_COUNTS {
        let setup = Setup::new(keys, count);
        let group = Group::valid(&LIKE_WITH_LIKE);
        print(&format!("{count}/"), net(&setup, &group, once));
    }
    let setup = Setup::new(keys, REQUIRED);
    let group = Group::valid(&[Candidate::Layer, Candidate::AllScopes]);
    print("all/", net(&setup, &group, once));
}

fn headers(setup: &Setup, once: bool) {
    for headers in HEADERS {
        let group = Group {
            headers,
            ..Group::valid(&LIKE_WITH_LIKE)
        };
        print(&format!("{headers}/"), net(setup, &group, once));
    }
}

fn print(start: &str, figures: Vec<(Candidate, f64)>) {
    for (candidate, figure) in figures {
        println!("{start}{}\t{figure}", candidate.name());
    }
}
