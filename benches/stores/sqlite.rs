//! Keys in a file of SQLite, compared with a bare SELECT through a connection of the same kind.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags, params};
use tower_api_key::store::{KeyStore, Lookup};
use tower_api_key::{Grant, KeyRing, Realm, RevocationReason};
use tower_api_key_sqlite::SqliteStore;

use crate::measure::{Candidate, Key, keys, print_load, print_rate, runtime, take_turns};
use crate::{Part, listing, subjects};

/// The columns of a record. A store cannot do with fewer.
const SELECT: &str = "SELECT id, digest, pepper_version, subject, scopes, issued_at, not_before, \
     expires_at, retire_at, lineage, generation, version, revoked_at, revocation_reason, label, \
     metadata, prefix, caveats FROM api_keys WHERE digest = ?1 AND realm = ?2";
const COLUMNS: usize = 18;
/// The argument that makes a process a writer to a file.
pub(crate) const WRITE: &str = "--write";

pub(crate) fn report(once: bool, part: Part) {
    let sizes: &[usize] = if once { &[100] } else { &[10_000, 1_000_000] };
    let folder = std::env::temp_dir().join(format!("tower-api-key-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    if part.has(Part::Lists) {
        lists_of(&folder.join("lists.db"), once);
    }
    if part.has(Part::Limits) {
        limits_of(&folder.join("limits.db"), once);
    }
    for &size in sizes.iter().filter(|_| part.has(Part::LookUps)) {
        print_load();
        let keys = keys(size);
        let path = fill(&folder.join(format!("{size}.db")), &keys);
        size_and_opening(&path, size);
        let rounds = if once { 1 } else { 2_000 };
        look_ups(&path, &keys, rounds);
        println!("  next to a process that writes:");
        let writer = Writer::start(&path);
        look_ups(&path, &keys, rounds);
        writer.end();
    }
    if part == Part::All {
        writes(&folder, if once { 8 } else { 1_600 });
    }
    print_load();
    std::fs::remove_dir_all(&folder).unwrap();
}

fn lists_of(path: &Path, once: bool) {
    let (keys, rounds) = if once { (1_000, 1) } else { (1_000_000, 21) };
    let store = SqliteStore::open(path).unwrap();
    let id = "printf('%012X', n * 2654435761 % 281474976710656)";
    let values = listing::values(id, "randomblob(32)", keys);
    let rows = format!(
        "PRAGMA cache_size = -1000000; PRAGMA synchronous = OFF;
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {keys})
         INSERT INTO api_keys ({}) SELECT {values} FROM numbers;
         PRAGMA wal_checkpoint(TRUNCATE);",
        listing::COLUMNS
    );
    let start = Instant::now();
    Connection::open(path)
        .unwrap()
        .execute_batch(&rows)
        .unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    println!(
        "\nSQLite, {keys} keys for lists: {} bytes a key, filled in {:.0} s",
        bytes / u64::from(keys),
        start.elapsed().as_secs_f64()
    );
    runtime().block_on(listing::report("SQLite", store, rounds));
}

fn limits_of(path: &Path, once: bool) {
    let store = SqliteStore::open(path).unwrap();
    for &keys in subjects::sizes(once) {
        let rows = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {keys})
             INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation, version, \
             metadata) SELECT id, '{}', randomblob(32), '{}', '{}', 1, 1, id, 0, 1, '{{}}' \
             FROM (SELECT printf('%012d', {keys} * 1000000 + n) AS id FROM numbers);",
            subjects::REALM, subjects::name(keys), subjects::SCOPE
        );
        Connection::open(path)
            .unwrap()
            .execute_batch(&rows)
            .unwrap();
    }
    for &keys in subjects::sizes(once) {
        let measured = subjects::measure("SQLite", store.clone(), keys, subjects::rounds(once));
        runtime().block_on(measured);
    }
}

/// A file with these keys, inserted at once.
fn fill(path: &Path, keys: &[Key]) -> PathBuf {
    drop(SqliteStore::open(path).unwrap());
    let mut connection = Connection::open(path).unwrap();
    // Else a transaction of a million keys writes pages out and reads them again, for minutes.
    let settings = "PRAGMA cache_size = -2000000; PRAGMA synchronous = OFF;";
    connection.execute_batch(settings).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut statement = transaction
        .prepare(
            "INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, \
             expires_at, lineage, generation, version, metadata) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?1, 0, 1, '{}')",
        )
        .unwrap();
    for Key { record, .. } in keys {
        let time = |at: u64| i64::try_from(at).unwrap();
        let issued_at = time(record.issued_at().as_unix());
        statement
            .execute(params![
                record.id().as_str(),
                record.realm().as_str(),
                record.digest().as_bytes(),
                record.subject().as_str(),
                record.scopes().as_str(),
                issued_at,
                issued_at,
                record.expires_at().map(|at| time(at.as_unix())),
            ])
            .unwrap();
    }
    drop(statement);
    transaction.commit().unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    path.to_owned()
}

fn size_and_opening(path: &Path, keys: usize) {
    let bytes = std::fs::metadata(path).unwrap().len();
    println!(
        "\nSQLite, {keys} keys: {} MB on disk, {} bytes a key",
        bytes / 1_000_000,
        bytes / keys as u64
    );
    let mut samples: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            let store = SqliteStore::open(path).unwrap();
            let took = start.elapsed().as_secs_f64() * 1e3;
            drop(store);
            took
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    println!("  {:<34} median {:>7.2} ms", "open", samples[4]);
}

fn look_ups(path: &Path, keys: &[Key], rounds: usize) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let bare = Connection::open_with_flags(path, flags).unwrap();
    let store = SqliteStore::open(path).unwrap();
    let ring = KeyRing::builder("acme").build(store.clone()).unwrap();
    let realm = Realm::new("acme").unwrap();
    let runtime = runtime();
    let candidates = vec![
        Candidate {
            name: "bare SELECT",
            look_up: Box::new(|number| select(&bare, &realm, &keys[number])),
        },
        Candidate {
            name: "SqliteStore::find",
            look_up: Box::new(|number| {
                let found = store.find(&realm, keys[number].record.digest());
                // If the machine delays a read, some look-ups wait elsewhere.
                assert!(matches!(
                    found,
                    Lookup::Ready(Ok(Some(_))) | Lookup::Pending(_)
                ));
                drop(black_box(found));
            }),
        },
        Candidate {
            name: "KeyRing::verify",
            look_up: Box::new(|number| {
                let mut verdict = pin!(ring.verify(keys[number].plaintext.as_bytes()));
                let verdict = match poll(verdict.as_mut()) {
                    Poll::Ready(verdict) => verdict,
                    // The look-up before was delayed.
                    Poll::Pending => runtime.block_on(verdict),
                };
                drop(black_box(verdict.unwrap()));
            }),
        },
    ];
    take_turns(keys, rounds, candidates);
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A process that changes keys of a file without a pause.
struct Writer(Child);

impl Writer {
    /// Returns once it writes.
    fn start(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(WRITE).arg(path);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let output = process.stdout.as_mut().unwrap();
        // It prints no more than this before its input ends.
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        Self(process)
    }

    /// Ends it, and prints what it says of its rate.
    fn end(mut self) {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success());
        print!("{}", String::from_utf8(output.stdout).unwrap());
    }
}

/// Issues and revokes keys of a file until the standard input ends.
pub(crate) fn write(path: &str) {
    let ring = KeyRing::builder("acme");
    let ring = ring.build(SqliteStore::open(path).unwrap()).unwrap();
    let runtime = runtime();
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            is_over.store(true, Ordering::Relaxed);
        });
        let pair = || {
            runtime.block_on(async {
                let issued = ring.issue(Grant::new("alice")).await.unwrap();
                let reason = RevocationReason::Unspecified;
                ring.revoke(issued.record().id(), reason).await.unwrap();
            });
        };
        pair();
        println!("begun");
        let (start, mut pairs) = (Instant::now(), 0);
        while !is_over.load(Ordering::Relaxed) {
            pair();
            pairs += 1;
        }
        print_rate("pairs of issue and revoke", pairs, start.elapsed());
    });
}

/// Reads every column, and discards the values.
fn select(connection: &Connection, realm: &Realm, key: &Key) {
    let mut statement = connection.prepare_cached(SELECT).unwrap();
    let mut rows = statement
        .query(params![key.record.digest().as_bytes(), realm.as_str()])
        .unwrap();
    let row = rows.next().unwrap().unwrap();
    for column in 0..COLUMNS {
        black_box(row.get_ref(column).unwrap());
    }
}

fn writes(folder: &Path, count: usize) {
    println!("\nSQLite, commits of one key");
    let safe = SqliteStore::options();
    let unsafe_at_power_failure = safe.clone().danger_lose_commits_at_power_failure();
    for (name, options) in [("FULL", safe), ("NORMAL", unsafe_at_power_failure)] {
        let store = options.open(folder.join(format!("{name}.db"))).unwrap();
        let ring = KeyRing::builder("acme").build(store).unwrap();
        for tasks in [1, 8] {
            runtime().block_on(rates(&ring, name, tasks, count));
        }
    }
}

async fn rates(ring: &KeyRing, name: &str, tasks: usize, count: usize) {
    let start = Instant::now();
    let issuing: Vec<_> = (0..tasks)
        .map(|_| {
            let ring = ring.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..count / tasks {
                    let issued = ring.issue(Grant::new("alice")).await.unwrap();
                    ids.push(issued.record().id());
                }
                ids
            })
        })
        .collect();
    let mut issued = Vec::new();
    for task in issuing {
        issued.push(task.await.unwrap());
    }
    print_rate(
        &format!("{name}: issue, {tasks} at once"),
        count,
        start.elapsed(),
    );

    let start = Instant::now();
    let revoking: Vec<_> = issued
        .into_iter()
        .map(|ids| {
            let ring = ring.clone();
            tokio::spawn(async move {
                for id in ids {
                    let reason = RevocationReason::Unspecified;
                    ring.revoke(id, reason).await.unwrap();
                }
            })
        })
        .collect();
    for task in revoking {
        task.await.unwrap();
    }
    print_rate(
        &format!("{name}: revoke, {tasks} at once"),
        count,
        start.elapsed(),
    );
}
