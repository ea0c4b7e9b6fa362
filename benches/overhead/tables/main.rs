//! Tables of what a request costs, in markdown.
//!
//! `cargo bench -p tower-api-key-overhead` measures, with `--profile bench-lto` as services that care build.
//! After `--`: `--processes 5` is how many processes give the medians, `--large` adds ten million keys,
//! `--test` runs everything once on few keys and checks the answers. `--part 'replica 1000000'` measures in this process
//! the layer over a million keys in a store and in a copy that proves its age, as a replica is, in turns. `--instructions`
//! only counts those of a server of hyper, with the valgrind that is installed.
//!
//! A time is net: that of the bare service is subtracted, which takes turns with the candidates of its
//! group. Requests are built within the clock, the bare service's too.
#![allow(clippy::print_stdout, reason = "a bench reports to its reader")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot go on shall stop"
)]

mod end_to_end;
mod measure;
mod memory;
mod part;
mod report;
mod threads;

use tower_api_key_overhead::{Candidate, Draws, LEAST_HEADERS, Presented, SCOPES, Setup};

use crate::part::{CHILD, Part};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let position = |name: &str| arguments.iter().position(|it| it == name);
    let after = |name: &str| position(name).and_then(|at| arguments.get(at + 1));
    let once = position("--test").is_some();
    if let Some(name) = after(CHILD) {
        Part::from_name(name).expect("a part").run(once);
        return;
    }
    if let Some(named) = after(end_to_end::SERVE) {
        end_to_end::serve(named);
        return;
    }
    if position("--instructions").is_some() {
        end_to_end::count(10_000);
        return;
    }
    if once {
        check();
    }
    let processes = after("--processes").map_or(5, |it| it.parse().expect("--processes NUMBER"));
    report::print(&report::Options {
        processes: if once { 1 } else { processes },
        sizes: match (once, position("--large")) {
            (true, _) => vec![100],
            (false, None) => vec![100, 10_000, 1_000_000],
            (false, Some(_)) => vec![100, 10_000, 1_000_000, 10_000_000],
        },
        once,
    });
}

/// Whether each candidate answers what it should.
fn check() {
    let setup = Setup::new(100, SCOPES);
    let mut checked = 0;
    for candidate in Candidate::ALL {
        let mut subject = setup.subject(candidate);
        for presented in Presented::ALL {
            if let Some(status) = candidate.status(presented) {
                let request = setup.request(presented, LEAST_HEADERS, &mut Draws::random(0));
                let name = candidate.name();
                assert_eq!(subject.run(request), status, "{name}, {}", presented.name());
                checked += 1;
            }
        }
    }
    println!("{checked} answers are right");
}
