//! `PostgresStore` compared with one bare indexed SELECT through a pool of the same settings, on a
//! server that the bench starts itself, over the loopback.

use std::hint::black_box;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use tokio::task::JoinSet;
use tower_api_key::store::{KeyStore, Lookup};
use tower_api_key::{Grant, KeyDigest, KeyId, KeyRing, RevocationReason};
use tower_api_key_postgres::PostgresStore;
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};

use crate::{Part, listing, subjects};

const REALM: &str = "orders";
/// The store's default.
const CONNECTIONS: u32 = 10;
const WRITERS: usize = 16;

/// The amount of work.
struct Size {
    /// Rows in the table in addition to the keys that are looked up.
    rows: u32,
    keys: usize,
    rounds: usize,
    writes: usize,
}

/// Prints the figures. `once` only shows that everything runs.
pub(crate) fn run(once: bool, part: Part) {
    let size = if once {
        Size {
            rows: 100,
            keys: 8,
            rounds: 2,
            writes: WRITERS,
        }
    } else {
        Size {
            rows: 1_000_000,
            keys: 1_000,
            rounds: 40,
            writes: 4_000,
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if part.has(Part::Limits) {
            tokio::spawn(subjects::in_postgres(once)).await.unwrap();
        }
        if part.has(Part::Lists) {
            tokio::spawn(lists_of(once)).await.unwrap();
        }
        if part.has(Part::LookUps) {
            tokio::spawn(measure(size, part)).await.unwrap();
        }
    });
}

async fn lists_of(once: bool) {
    let (keys, rounds) = if once { (1_000, 1) } else { (1_000_000, 21) };
    let server = PgServer::start("on");
    let url = server.database().await;
    let store = patient().connect(&url).await.unwrap();
    let id = "upper(lpad(to_hex(n::bigint * 2654435761 % 281474976710656), 12, '0'))";
    let values = listing::values(id, "sha256(n::text::bytea)", keys);
    let rows = format!(
        "INSERT INTO tower_api_keys ({}) SELECT {values} FROM generate_series(1, {keys}) AS n",
        listing::COLUMNS
    );
    let begun = now();
    execute(&url, &rows).await.unwrap();
    println!(
        "\nPostgres, {keys} keys for lists, filled in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    // Without statistics first: the plan must not need them.
    execute(
        &url,
        "ALTER TABLE tower_api_keys SET (autovacuum_enabled = off)",
    )
    .await
    .unwrap();
    // Only the reports, of a database with statistics.
    let reports = std::env::args().any(|argument| argument == "--reports");
    if !reports {
        listing::report("Postgres without statistics", store.clone(), rounds.min(3)).await;
    }
    execute(&url, "VACUUM ANALYZE tower_api_keys")
        .await
        .unwrap();
    if reports {
        listing::reports("Postgres", store).await;
    } else {
        listing::report("Postgres", store, rounds).await;
    }
}

async fn measure(size: Size, part: Part) {
    let server = PgServer::start("on");
    let url = server.database().await;
    // This only sets how long a writer waits for a connection before it gives up, and no writer
    // shall give up.
    let store = patient().connect(&url).await.unwrap();
    let builder = KeyRing::builder("acme").realm(REALM);
    let ring = builder.build(store.clone()).unwrap();
    let mut keys = Vec::new();
    for number in 0..size.keys {
        let grant = Grant::new(format!("subject-{number}"));
        let grant = grant.scopes(["orders:read", "orders:write"]);
        let issued = ring.issue(grant).await.unwrap();
        let secret = issued.secret().expose().to_owned();
        keys.push((secret, *issued.record().digest()));
    }
    fill(&url, size.rows).await;
    verify(&url, &store, &ring, &keys, size.rounds).await;
    if part == Part::All {
        write(&ring, size.writes).await;
    }
}

/// Other keys, so that the index is as deep as a real one.
async fn fill(url: &str, rows: u32) {
    let insert = format!(
        "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, \
         expires_at, lineage, generation, version, metadata) \
         SELECT lpad(n::text, 12, '0'), '{REALM}', sha256(n::text::bytea), 'filler-' || n, \
         'orders:read', 1, 1, 2, lpad(n::text, 12, '0'), 0, 1, '{{}}' \
         FROM generate_series(1, {rows}) AS n"
    );
    execute(url, &insert).await.unwrap();
    execute(url, "VACUUM ANALYZE tower_api_keys").await.unwrap();
    execute(url, "CHECKPOINT").await.unwrap();
}

/// In turns, so that a disturbance of the machine affects both.
async fn verify(
    url: &str,
    store: &PostgresStore,
    ring: &KeyRing,
    keys: &[(String, KeyDigest)],
    rounds: usize,
) {
    let options = PgConnectOptions::from_str(url).unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .test_before_acquire(false)
        .connect_lazy_with(options.disable_statement_logging());
    let (mut bare, mut found, mut verified) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        for (secret, digest) in keys {
            let begun = now();
            select(&pool, digest).await;
            bare.push(begun.elapsed());
            let begun = now();
            let Lookup::Pending(record) = store.find(ring.realm(), digest) else {
                panic!("it asks the server");
            };
            black_box(record.await.unwrap());
            found.push(begun.elapsed());
            let begun = now();
            black_box(ring.verify(secret.as_bytes()).await.unwrap());
            verified.push(begun.elapsed());
        }
        if round == 0 {
            // The first round opens connections and prepares statements.
            bare.clear();
            found.clear();
            verified.clear();
        }
    }
    let bare = Figures::of(bare);
    println!("postgres  {:<20} {bare}", "bare SELECT");
    for (name, times) in [
        ("PostgresStore::find", found),
        ("KeyRing::verify", verified),
    ] {
        let figures = Figures::of(times);
        println!(
            "postgres  {name:<20} {figures}   {:.2} ×, p99 {:.2} ×",
            figures.median.as_secs_f64() / bare.median.as_secs_f64(),
            figures.p99.as_secs_f64() / bare.p99.as_secs_f64(),
        );
    }
}

async fn select(pool: &PgPool, digest: &KeyDigest) {
    let row = sqlx::query(
        "SELECT id, digest, pepper_version, subject, scopes, issued_at, not_before, expires_at, \
         retire_at, lineage, generation, version, revoked_at, revocation_reason, label, metadata \
         FROM tower_api_keys WHERE digest = $1 AND realm = $2",
    )
    .bind(&digest.as_bytes()[..])
    .bind(REALM)
    .fetch_optional(pool)
    .await
    .unwrap();
    black_box(row.unwrap());
}

/// Commits of many tasks at once, each flushed to the disk by the server.
async fn write(ring: &KeyRing, count: usize) {
    let begun = now();
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let ring = ring.clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for number in 0..count / WRITERS {
                let grant = Grant::new(format!("writer-{writer}-{number}"));
                let grant = grant.scopes(["orders:read"]);
                ids.push(ring.issue(grant).await.unwrap().record().id());
            }
            ids
        });
    }
    let ids: Vec<Vec<KeyId>> = tasks.join_all().await;
    report("issue", count, begun.elapsed());

    let begun = now();
    let mut tasks = JoinSet::new();
    for ids in ids {
        let ring = ring.clone();
        tasks.spawn(async move {
            for id in ids {
                let reason = RevocationReason::Unspecified;
                ring.revoke(id, reason).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    report("revoke", count, begun.elapsed());
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn report(what: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!("postgres  {what:<20} {rate:>8.0} /s   {WRITERS} tasks, fsync on");
}

/// The middle and the hundredth slowest of many.
struct Figures {
    median: Duration,
    p99: Duration,
}

impl Figures {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            median: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, p99] = [self.median, self.p99].map(|time| time.as_secs_f64() * 1e6);
        write!(f, "median {median:>7.1} µs   p99 {p99:>7.1} µs")
    }
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
    Instant::now()
}
