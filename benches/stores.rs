//! The cost of the persistent stores, compared with the database that they use.
//!
//! `cargo bench -p tower-api-key-tests --bench stores --all-features` measures the stores that are built in. `-- --test`
//! runs everything once, with few keys. `-- --lists` measures only the lists of a million keys, with `--reports` only
//! reports on them in Postgres, and
//! `-- sqlite` or `-- postgres` only that store. `-- --look-ups` measures only look-ups, in SQLite also next to a process
//! that writes. `-- --limits` measures only changes of a subject with few keys and with many, in a
//! `MemoryStore` too. Each store adds its own part.
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
    let mut arguments = std::env::args().skip_while(|it| it != sqlite::WRITE);
    if let Some(path) = arguments.nth(1) {
        return sqlite::write(&path);
    }
    let once = std::env::args().any(|argument| argument == "--test");
    let part = Part::asked();
    // Only one store, if it is named.
    let stores = ["sqlite", "postgres"];
    let named: Vec<String> = std::env::args()
        .filter(|it| stores.contains(&&**it))
        .collect();
    let is_asked = |name: &str| named.is_empty() || named.iter().any(|it| it == name);
    if part == Part::Limits && named.is_empty() {
        subjects::in_memory(once);
    }
    if is_asked("sqlite") {
        sqlite::report(once, part);
    }
    if is_asked("postgres") {
        postgres::run(once, part);
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// The lists, which need a million keys but little else.
    Lists,
    LookUps,
    /// Limits on the keys of a subject.
    Limits,
}

impl Part {
    fn asked() -> Self {
        let part = |argument: String| match argument.as_str() {
            "--lists" => Some(Self::Lists),
            "--look-ups" => Some(Self::LookUps),
            "--limits" => Some(Self::Limits),
            _ => None,
        };
        std::env::args().find_map(part).unwrap_or(Self::All)
    }

    /// Whether this part of a report is asked for.
    fn has(self, part: Self) -> bool {
        self == Self::All || self == part
    }
}
