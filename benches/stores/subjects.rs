//! One more key of a subject with few keys and with many, in Postgres, under a limit that it reaches.

use std::time::{Duration, Instant};

use tower_api_key::{Grant, KeyRing, RevocationReason};
use tower_api_key_postgres::PostgresStore;
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};

/// Prints the medians of changes of one key. `once` only shows that everything runs.
pub(crate) async fn report(once: bool) {
    let (subjects, rounds) = if once {
        (vec![10, 100], 2)
    } else {
        (vec![10, 1_000, 100_000], 300)
    };
    let server = PgServer::start("on");
    let url = server.database().await;
    for keys in &subjects {
        execute(&url, &fill(*keys)).await.unwrap();
    }
    execute(&url, "VACUUM ANALYZE tower_api_keys")
        .await
        .unwrap();
    let store = patient().connect(&url).await.unwrap();
    println!("postgres  a limit of keys: medians of {rounds}, fsync on");
    for keys in &subjects {
        measure("number kept", store.clone(), *keys, rounds).await;
    }
    // As with a schema from before, and for a role without the right.
    let function = "DROP FUNCTION tower_api_key_within(text, text, bigint, bigint)";
    execute(&url, function).await.unwrap();
    for keys in &subjects {
        measure("all counted", store.clone(), *keys, rounds.min(50)).await;
    }
}

/// So many keys of a subject of that name.
fn fill(keys: usize) -> String {
    format!(
        "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation, \
         version, metadata) SELECT id, 'orders', sha256(id::bytea), 'with-{keys}', 'orders:read', 1, 1, id, 0, 1, '{{}}' \
         FROM (SELECT lpad(to_hex({keys}::bigint * 1000000 + n), 12, '0') AS id FROM generate_series(1, {keys}) AS n) \
         AS ids"
    )
}

async fn measure(how: &str, store: PostgresStore, keys: usize, rounds: usize) {
    let ring = KeyRing::builder("acme").realm("orders");
    let ring = ring.max_keys_per_subject(keys + 1).build(store).unwrap();
    let grant = || Grant::new(format!("with-{keys}")).scopes(["orders:read"]);
    let (mut issue, mut regrant, mut revoke) = (Vec::new(), Vec::new(), Vec::new());
    // The first keeps the number.
    for _ in 0..=rounds {
        let begun = now();
        let first = ring.issue(grant()).await.unwrap();
        issue.push(begun.elapsed());
        let begun = now();
        let second = ring.regrant(first.id(), grant()).await.unwrap();
        regrant.push(begun.elapsed());
        let begun = now();
        let reason = RevocationReason::Unspecified;
        ring.revoke(second.id(), reason).await.unwrap();
        revoke.push(begun.elapsed());
    }
    let [issue, regrant, revoke] = [issue, regrant, revoke].map(median);
    println!(
        "postgres  {how}, {keys:>6} keys   issue {issue:>8.2} ms   regrant {regrant:>6.2} ms   revoke {revoke:>6.2} ms"
    );
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
    Instant::now()
}
