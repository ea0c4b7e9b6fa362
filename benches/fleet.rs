//! What a fleet of replicas costs, and how soon a revocation reaches it, with a Postgres that the bench starts itself.
//!
//! `cargo bench -p tower-api-key-tests --bench fleet --all-features` measures all of it. `-- --test` runs everything
//! once, with few keys. `-- --large` loads ten million keys too. `-- propagation`, `purge`, `commits`, `pulls`, `idle`
//! and `bootstrap` are the parts.
#![allow(clippy::print_stdout, reason = "a bench reports to its reader")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot go on shall stop"
)]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

#[path = "fleet/bootstrap.rs"]
mod bootstrap;
#[path = "fleet/commits.rs"]
mod commits;
#[path = "fleet/idle.rs"]
mod idle;
#[path = "fleet/nodes.rs"]
mod nodes;
#[path = "fleet/propagation.rs"]
mod propagation;
#[path = "fleet/pulls.rs"]
mod pulls;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_given = |word: &str| arguments.iter().any(|argument| argument == word);
    let once = is_given("--test");
    let parts = [
        "propagation",
        "purge",
        "commits",
        "pulls",
        "idle",
        "bootstrap",
    ];
    let is_any = parts.into_iter().any(is_given);
    let is_asked = |part: &str| !is_any || is_given(part);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if is_asked("propagation") {
            propagation::run(once).await;
        }
        if is_asked("purge") {
            propagation::purge(once).await;
        }
        if is_asked("commits") {
            commits::run(once).await;
        }
        if is_asked("pulls") {
            pulls::run(once).await;
        }
        if is_asked("idle") {
            idle::run(once).await;
        }
        if is_asked("bootstrap") {
            bootstrap::run(once, is_given("--large")).await;
        }
    });
}
