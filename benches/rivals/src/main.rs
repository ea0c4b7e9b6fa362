//! What other crates cost that do this job, with the requests of `tower-api-key-overhead`.
//!
//! Prints a markdown table of nanoseconds, net of the bare service of each, and writes a plot of them to
//! `docs/costs.svg`. `--processes 5` is how many processes give the medians. `--test` only checks the answers.
//! Without the features `composable` and `modo` the tree is lighter.
#![forbid(unsafe_code)]

#[cfg(feature = "composable")]
mod composable;
#[cfg(feature = "modo")]
mod modo;
mod plot;
mod rival;
mod rskit;

use tower_api_key_overhead::{Case, Figures, Presented, SCOPES, Setup, take_turns};

use crate::rival::{Contest, Rival};

/// The argument that makes a process measure one number of keys.
const CHILD: &str = "--keys";
const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
const PRESENTED: [Presented; 3] = [Presented::Valid, Presented::Unknown, Presented::Missing];
const ROUNDS: usize = 2_000;
/// A rival that compares every key would take minutes with more.
const MOST_COMPARED: usize = 10_000;
const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/costs.svg");

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    if arguments.iter().any(|it| it == "--test") {
        check();
    } else if let Some(keys) = after(CHILD) {
        measure(keys);
    } else {
        report(after("--processes").unwrap_or(5));
    }
}

/// Whether each answers what it should.
fn check() {
    let setup = Setup::new(100, SCOPES);
    let mut checked = 0;
    for rival in Rival::ALL {
        let mut contest = Contest::new(*rival, &setup);
        for presented in Presented::ALL {
            for seed in 0..20 {
                let head = contest.answer(presented, seed);
                assert_eq!(
                    head.status,
                    rival.status(presented),
                    "{rival:?} {presented:?}"
                );
                checked += 1;
            }
        }
    }
    println!("{checked} answers are right");
}

fn is_measured(rival: Rival, keys: usize) -> bool {
    rival != Rival::TsWebapi || keys <= MOST_COMPARED
}

/// Prints a line for each figure: its name, a tab, its value.
fn measure(keys: usize) {
    let setup = Setup::new(keys, SCOPES);
    for &rival in Rival::ALL.iter().filter(|rival| is_measured(**rival, keys)) {
        for presented in PRESENTED {
            let (mut contest, mut bare) =
                (Contest::new(rival, &setup), Contest::bare(rival, &setup));
            let mut cases: [Case<'_>; 2] = [
                Box::new(|| contest.run(presented)),
                Box::new(|| bare.run(presented)),
            ];
            let rounds = if rival == Rival::TsWebapi {
                ROUNDS / 20
            } else {
                ROUNDS
            };
            let medians = take_turns(&mut cases, rounds);
            let net = medians[0] - medians[1];
            println!("{}/{}\t{net}", rival.name(), presented.name());
        }
    }
}

fn report(processes: usize) {
    let measured: Vec<Figures> = SIZES
        .iter()
        .map(|keys| Figures::measure(&[CHILD, &keys.to_string()], processes))
        .collect();
    let sizes = SIZES.map(|keys| format!(" {keys} |")).concat();
    println!(
        "| ns, net | unknown | missing |{sizes}\n|---|---|---|{}",
        "---|".repeat(SIZES.len())
    );
    let mut lines = Vec::new();
    for &rival in Rival::ALL {
        let figure = |index: usize, presented: Presented| {
            let name = format!("{}/{}", rival.name(), presented.name());
            is_measured(rival, SIZES[index]).then(|| measured[index].of(&name))
        };
        let valid = [0, 1, 2, 3].map(|index| figure(index, Presented::Valid));
        let refused = [Presented::Unknown, Presented::Missing].map(|it| figure(2, it));
        let cell =
            |value: &Option<f64>| value.map_or(" – |".to_owned(), |it| format!(" {it:.0} |"));
        let cells: String = refused.iter().chain(&valid).map(cell).collect();
        println!("| {} |{cells}", rival.name());
        let points = SIZES.iter().zip(valid);
        let points = points.filter_map(|(keys, value)| Some((*keys as f64, value?)));
        lines.push((rival.name(), points.collect()));
    }
    std::fs::write(PLOT, plot::svg(&lines)).expect("a folder docs");
}
