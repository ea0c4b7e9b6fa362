//! Random sequences of every operation of `KeyRing` except `upkeep`, against a reference model.
//!
//! Five rings take part: two nodes of one realm with different policies, a second realm, and a temporary ring
//! with caps, all over one store, and a ring over its own store. They grant different scopes and caveats. The
//! clients of the verifications meet different caveats. The clock goes on, stands still, is set back, and is
//! set to the end of time. Other writers commit between the read and the commit of an operation,
//! which must end as if it had begun after them. After every operation the stores must match the model in
//! every field. The commits are read from the stores one by one, and the authority of every digest at each is
//! checked against the invariants of the lifecycle. Each invariant is a function that has its number in its
//! name, or an assertion that has it in its message.
//!
//! A run of 25 000 steps is part of the tests. The long run prints its steps and the number of each
//! outcome of each operation:
//!
//! ```text
//! MODEL_STEPS=120000 cargo test -p tower-api-key-tests --all-features --test integration -- model --nocapture
//! ```
//!
//! If a sequence fails, it is shortened first, and the remaining operations are printed.

mod caveats;
mod describing;
mod ledger;
mod looking;
mod operations;
mod predict;
mod race;
mod reference;
mod rings;
mod run;
mod sets;
mod shrinking;
mod steps;
mod store;
mod verify;
mod watching;
mod wish;

use std::cell::{Cell, RefCell};
use std::task::Poll;

use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::poll_once;
use operations::{At, Lifetime, Operation, Rival, Target, Via, Wish};
use run::{Run, Tally};
use sets::Choice;

type Check = Result<(), TestCaseError>;

const STEPS: u64 = 25_000;
const LONGEST_SEQUENCE: usize = 160;

/// The events that a run must have reached to be meaningful.
const MUST_HAPPEN: [&str; 92] = [
    "describe: NotFound",
    "describe: a revoked key",
    "describe: another was first",
    "describe: ok",
    "import_digest: Duplicate",
    "import_digest: ok",
    "import_insecure_plaintext: ok",
    "import_plaintext: ImportRefused",
    "import_plaintext: InvalidPlaintext",
    "import_plaintext: WeakPlaintext",
    "import_plaintext: ok",
    "issue: CaveatNotGrantable",
    "issue: InvalidLifetime",
    "issue: InvalidSubject",
    "issue: LifetimeTooLong",
    "issue: ScopeNotGrantable",
    "issue: TooManyKeys",
    "issue: ok",
    "look",
    "narrow: CaveatNotGrantable",
    "narrow: EmptyScopes",
    "narrow: InGrace",
    "narrow: KeyExpired",
    "narrow: KeyReplaced",
    "narrow: KeyRevoked",
    "narrow: NotFound",
    "narrow: WouldWiden",
    "narrow: another was first",
    "narrow: caveats alone ended a key in grace",
    "narrow: ok",
    "narrow: to scopes, with caveats",
    "narrow: with caveats alone",
    "narrow: with caveats that it had",
    "promote apart: KeyRevoked",
    "promote apart: another was first",
    "promote apart: ok",
    "promote apart: with caveats",
    "promote: InGrace",
    "promote: KeyRevoked",
    "promote: NotFound",
    "promote: another was first",
    "promote: ok",
    "promote: with caveats",
    "purge: something",
    "regrant: CaveatNotGrantable",
    "regrant: InGrace",
    "regrant: KeyExpired",
    "regrant: KeyRevoked",
    "regrant: NotFound",
    "regrant: ScopeNotGrantable",
    "regrant: another was first",
    "regrant: ok",
    "regrant: with caveats",
    "revoke: NotFound",
    "revoke: ok",
    "revoke_lineage: NotFound",
    "revoke_lineage: ok",
    "revoke_subject: ok",
    "rotate: GraceTooLong",
    "rotate: InGrace",
    "rotate: InvalidGrace",
    "rotate: KeyExpired",
    "rotate: KeyReplaced",
    "rotate: KeyRevoked",
    "rotate: NotFound",
    "rotate: ScopeNotGrantable",
    "rotate: another was first",
    "rotate: ok",
    "rotate: with caveats",
    "rotate_now: InGrace",
    "rotate_now: KeyRevoked",
    "rotate_now: ok",
    "rotate_now: with caveats",
    "verify: Accepted",
    "verify: Refused(CaveatNotMet)",
    "verify: Refused(Expired)",
    "verify: Refused(Malformed)",
    "verify: Refused(NotYetValid)",
    "verify: Refused(Replaced)",
    "verify: Refused(Revoked)",
    "verify: Refused(Unknown)",
    "verify: accepted after a revoke that it began before",
    "verify: accepted with a caveat",
    "verify: accepted with caveats",
    "verify: one caveat is met and another is not",
    "verify: refused for a cause before its caveats",
    "verify: reuse ended the lineage",
    "verify: too late",
    "watch: Err(NotFound)",
    "watch: Ok(Expired)",
    "watch: Ok(Replaced)",
    "watch: Ok(Revoked)",
];

/// Events that a short run may miss: fewer than twenty in 25 000 steps, on average, or none.
const MUST_HAPPEN_IN_A_LONG_RUN: [&str; 5] = [
    "import_digest: CaveatNotGrantable",
    "promote: CaveatNotGrantable",
    "promote: TooManyKeys",
    "rotate: with caveats that the ring does not grant",
    "verify: reuse by a clock that was ahead",
];
const LONG_RUN: u64 = 100_000;

/// Random sequences seldom reach it.
#[test]
fn a_promotion_to_another_store_without_room_is_refused_whatever_another_does_to_the_key() {
    let wish = Wish {
        subject: "alice",
        scopes: Choice::Within(0),
        caveats: Choice::Exactly(0),
        lifetime: Lifetime::Default,
        not_before: None,
    };
    let newest = At {
        key: Target::Head(0),
        via: Via::Own(0),
    };
    let promotion = Operation::Promote(newest, 3, wish.clone());
    let mut tally = Tally::new();
    let mut run = Run::new(&mut tally);
    for operation in [
        Operation::Issue(3, wish.clone()),
        Operation::Issue(3, wish.clone()),
        Operation::Issue(4, wish),
        Operation::Race(Rival::RotateAtOnce, newest, Box::new(promotion)),
    ] {
        run.step(&operation).unwrap();
    }
    assert_eq!(tally["promote apart: TooManyKeys"], 1);
}

#[test]
fn invariants_1_to_6_9_10_12_and_14_hold_over_random_sequences() {
    let wanted = std::env::var("MODEL_STEPS").map_or(STEPS, |steps| steps.parse().unwrap());
    let steps = Cell::new(0_u64);
    let commits = Cell::new(0_u64);
    let tally = RefCell::new(Tally::new());
    let mut sequences = 0_u64;
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: std::env::var_os("PROPTEST_MAX_SHRINK_ITERS")
            .map_or(4_000, |_| Config::default().max_shrink_iters),
        max_shrink_time: 60_000,
        ..Config::default()
    };
    while steps.get() < wanted {
        sequences += 1;
        let sequence = operations::operations(LONGEST_SEQUENCE);
        // A runner counts its cases over all of its runs, so one is used for one sequence.
        let result = TestRunner::new(config.clone()).run(&sequence, |operations| {
            let mut tally = tally.borrow_mut();
            let mut run = Run::new(&mut tally);
            for operation in &operations {
                run.step(operation)?;
                steps.set(steps.get() + 1);
            }
            commits.set(commits.get() + run.ledger.commits);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    }
    let tally = tally.into_inner();
    for (what, count) in &tally {
        eprintln!("{count:>9}  {what}");
    }
    let (steps, commits) = (steps.get(), commits.get());
    eprintln!("model: {steps} steps in {sequences} sequences, {commits} commits");
    let rare = if steps < LONG_RUN {
        &[][..]
    } else {
        &MUST_HAPPEN_IN_A_LONG_RUN
    };
    for what in MUST_HAPPEN.iter().chain(rare) {
        assert!(tally.contains_key(*what), "never happened: {what}");
    }
}

/// The value of a future that is ready at once.
fn now<F: Future>(future: F) -> F::Output {
    match poll_once(&mut Box::pin(future)) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a call on a store in memory waited"),
    }
}
