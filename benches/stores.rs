//! The cost of the persistent stores, compared with the database that they use.
//!
//! `cargo bench -p tower-api-key-tests --bench stores --all-features` measures the stores that are built in. `-- --test`
//! runs everything once, with few keys. `-- --lists` measures only the lists of a million keys, with `--reports` only
//! reports on them in Postgres, and
//! `-- sqlite` or `-- postgres` only that store. `-- --limits` measures only changes of a subject with few keys and with
//! many, in Postgres. Each store adds its own part.
#![allow(clippy::print_stdout, reason = "a bench reports to its reader")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot go on shall stop"
)]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

#[path = "stores/listing.rs"]
mod listing;
#[path = "stores/measure.rs"]
mod measure;
#[path = "stores/postgres.rs"]
mod postgres;
#[path = "stores/sqlite.rs"]
mod sqlite;
#[path = "stores/subjects.rs"]
mod subjects;

fn main() {
    let once = std::env::args().any(|argument| argument == "--test");
    // Only the lists, which need a million keys but little else.
    let lists = std::env::args().any(|argument| argument == "--lists");
    // Only limits on the keys of a subject.
    let limits = std::env::args().any(|argument| argument == "--limits");
    // Only one store, if it is named.
    let stores = ["sqlite", "postgres"];
    let named: Vec<String> = std::env::args()
        .filter(|it| stores.contains(&&**it))
        .collect();
    let is_asked = |name: &str| named.is_empty() || named.iter().any(|it| it == name);
    if is_asked("sqlite") && !limits {
        sqlite::report(once, lists);
    }
    if is_asked("postgres") {
        postgres::run(once, lists, limits);
    }
}
