//! Changes of one key of a subject with few keys and with many, under a limit that they reach.

use std::time::{Duration, Instant};

use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key::{Grant, KeyRing, RevocationReason};
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};

use crate::measure::runtime;

/// Of the rows that are filled in.
pub(crate) const REALM: &str = "orders";
pub(crate) const SCOPE: &str = "orders:read";

/// How many keys the subjects have.
pub(crate) fn sizes(once: bool) -> &'static [usize] {
    if once {
        &[10, 100]
    } else {
        &[10, 1_000, 100_000]
    }
}

pub(crate) fn rounds(once: bool) -> usize {
    if once { 2 } else { 300 }
}

/// The subject that has so many keys.
pub(crate) fn name(keys: usize) -> String {
    format!("with-{keys}")
}

pub(crate) fn in_memory(once: bool) {
    let store = MemoryStore::new();
    let ring = KeyRing::builder("acme").realm(REALM);
    let ring = ring.build(store.clone()).unwrap();
    println!("\na limit of keys: medians of {}", rounds(once));
    for &keys in sizes(once) {
        runtime().block_on(async {
            for _ in 0..keys {
                ring.issue(grant(keys)).await.unwrap();
            }
            measure("memory", store.clone(), keys, rounds(once)).await;
        });
    }
}

/// `once` only shows that everything runs.
pub(crate) async fn in_postgres(once: bool) {
    let (subjects, rounds) = (sizes(once), rounds(once));
    let server = PgServer::start("on");
    let url = server.database().await;
    for keys in subjects {
        execute(&url, &fill(*keys)).await.unwrap();
    }
    execute(&url, "VACUUM ANALYZE tower_api_keys")
        .await
        .unwrap();
    let store = patient().connect(&url).await.unwrap();
    println!("\na limit of keys in Postgres: medians of {rounds}, fsync on");
    for keys in subjects {
        measure("number kept", store.clone(), *keys, rounds).await;
    }
    // As with a schema from before, and for a role without the right.
    let function = "DROP FUNCTION tower_api_key_within(text, text, bigint, bigint)";
    execute(&url, function).await.unwrap();
    for keys in subjects {
        measure("all counted", store.clone(), *keys, rounds.min(50)).await;
    }
}

fn grant(keys: usize) -> Grant {
    Grant::new(name(keys)).scopes([SCOPE])
}

/// So many keys of a subject of that name.
fn fill(keys: usize) -> String {
    format!(
        "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation, \
         version, metadata) SELECT id, '{REALM}', sha256(id::bytea), '{}', '{SCOPE}', 1, 1, id, 0, 1, '{{}}' \
         FROM (SELECT lpad(to_hex({keys}::bigint * 1000000 + n), 12, '0') AS id FROM generate_series(1, {keys}) AS n) \
         AS ids",
        name(keys)
    )
}

/// Prints the medians of changes of one key.
pub(crate) async fn measure(how: &str, store: impl KeyStore + 'static, keys: usize, rounds: usize) {
    let ring = KeyRing::builder("acme").realm(REALM);
    let ring = ring.max_keys_per_subject(keys + 1).build(store).unwrap();
    let (mut issue, mut regrant, mut revoke) = (Vec::new(), Vec::new(), Vec::new());
    // The first keeps the number.
    for _ in 0..=rounds {
        let begun = now();
        let first = ring.issue(grant(keys)).await.unwrap();
        issue.push(begun.elapsed());
        let begun = now();
        let second = ring.regrant(first.id(), grant(keys)).await.unwrap();
        regrant.push(begun.elapsed());
        let begun = now();
        let reason = RevocationReason::Unspecified;
        ring.revoke(second.id(), reason).await.unwrap();
        revoke.push(begun.elapsed());
    }
    let [issue, regrant, revoke] = [issue, regrant, revoke].map(median);
    println!(
        "  {how:<11}  {keys:>6} keys   issue {issue:>8.1} µs   regrant {regrant:>8.1} µs   revoke {revoke:>8.1} µs"
    );
}

/// In microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
    Instant::now()
}
