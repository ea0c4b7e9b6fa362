//! The layer's cost per request, compared with a floor and a hand-written layer.
//!
//! `cargo bench -p tower-api-key-tests --bench overhead` prints medians and ratios of one interleaved run, so that a
//! noisy machine disturbs all candidates alike, and then criterion's own report for each case.
//! `cargo bench -p tower-api-key-tests --bench overhead -- --test` runs every case once.
//! `cargo bench -p tower-api-key-tests --bench overhead -- --ratios` prints the ratios alone.
#![allow(clippy::print_stdout, reason = "a bench reports to its reader")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot go on shall stop"
)]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

#[path = "overhead/candidates.rs"]
mod candidates;
#[path = "overhead/ratios.rs"]
mod ratios;

use criterion::{BatchSize, BenchmarkId, Criterion};

use crate::candidates::{Bench, Candidate, Keys};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let once = has("--test");

    for size in if once {
        vec![100]
    } else {
        vec![100, 10_000, 1_000_000]
    } {
        let bench = Bench::new(size);
        ratios::one_thread(&bench, once);
        ratios::two_threads(&bench, once);
    }
    if has("--ratios") {
        return;
    }
    let mut criterion = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2))
        .configure_from_args();
    for size in if once {
        vec![100]
    } else {
        vec![100, 10_000, 1_000_000]
    } {
        report(&mut criterion, &Bench::new(size));
    }
    criterion.final_summary();
}

fn report(criterion: &mut Criterion, bench: &Bench) {
    let mut group = criterion.benchmark_group("overhead");
    for &candidate in Candidate::ALL {
        let mut keys = Keys::random();
        let mut subject = bench.subject(candidate);
        let id = BenchmarkId::new(candidate.name(), bench.size());
        group.bench_function(id, |bencher| {
            bencher.iter_batched(
                || bench.request(candidate, &mut keys),
                &mut subject,
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
