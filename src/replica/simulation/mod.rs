//! A discrete-event simulation of a fleet: the follower, the memory and the lease of the product, against a model of
//! Postgres, with partitions, pauses, interrupted steps, clocks at other rates, lost and late messages, long
//! transactions, and failovers that lose commits and give their xids out again.
//!
//! Everything follows from a seed, which each failure prints. `TOWER_API_KEY_SEEDS` makes a run longer.

mod database;
mod dispatch;
mod following;
mod happening;
mod keys;
mod mutant;
mod node;
mod oracle;
mod random;
mod requests;
mod world;
mod writers;

use self::mutant::{ALL, Mutant};
use self::oracle::Oracle;
use self::world::World;

/// How many seeds there are, if the environment does not say.
const SEEDS: u64 = 4;
/// In as many seeds a mutant must die.
const MUTANT_SEEDS: u64 = 200;

fn seeds() -> u64 {
    let seeds = std::env::var("TOWER_API_KEY_SEEDS");
    seeds.map_or(SEEDS, |seeds| seeds.parse().unwrap())
}

fn run(seed: u64, nodes: usize, seconds: u64, mutant: Option<Mutant>) -> Oracle {
    World::new(seed, nodes, seconds, mutant).run()
}

/// The design holds in every seed, and what happens is not nothing.
fn check(seeds: std::ops::RangeInclusive<u64>, nodes: usize, seconds: u64) {
    let mut all = Oracle::default();
    for seed in seeds.clone() {
        let oracle = run(seed, nodes, seconds, None);
        let violations = &oracle.violations;
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        all.accepts += oracle.accepts;
        all.denials += oracle.denials;
        all.unavailable += oracle.unavailable;
        all.failovers += oracle.failovers;
        all.settled += oracle.settled;
        all.resets += oracle.resets;
        all.renewals += oracle.renewals;
        all.differing += oracle.differing;
    }
    println!(
        "seeds {seeds:?}, {nodes} nodes, {seconds} s: {} accepts, {} denials, {} unavailable, {} failovers, {} resets, {} renewals, {} settled, {} audits that differ, no violation",
        all.accepts,
        all.denials,
        all.unavailable,
        all.failovers,
        all.resets,
        all.renewals,
        all.settled,
        all.differing
    );
    assert!(all.accepts > 1_000 && all.denials > 1_000 && all.unavailable > 100);
    assert!(all.failovers > 0 && all.resets > 0 && all.settled > 0 && all.differing > 0);
}

#[test]
fn i09_a_fleet_of_twenty_nodes_keeps_the_bound() {
    let seconds = if seeds() > SEEDS { 60 } else { 15 };
    check(1..=seeds(), 20, seconds);
}

#[test]
fn i09_a_fleet_of_many_nodes_keeps_the_bound() {
    if seeds() > SEEDS {
        check(1..=5, 1_000, 60);
    } else {
        check(1..=1, 100, 8);
    }
}

#[test]
fn one_seed_is_one_run() {
    let figures = || {
        let oracle = run(7, 10, 10, None);
        (
            oracle.accepts,
            oracle.denials,
            oracle.unavailable,
            oracle.renewals,
        )
    };
    assert_eq!(figures(), figures());
}

/// What a rule is for shows when it is taken out.
#[test]
fn each_mutant_dies() {
    for mutant in ALL {
        let died = (1..=MUTANT_SEEDS).find_map(|seed| {
            let oracle = run(seed, 20, 15, Some(mutant));
            (!oracle.violations.is_empty()).then_some((seed, oracle))
        });
        let (seed, oracle) = died.unwrap_or_else(|| panic!("{mutant:?} lives"));
        for (name, (_, first)) in &oracle.violations {
            println!("{mutant:?} dies with seed {seed} by {name}: {first}");
        }
    }
}
