//! A purge of many steps, with concurrent writers.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key::store::KeyStore;
use tower_api_key::{Realm, RevocationReason, Timestamp};

use super::{connect, ring_over, someone_waits};
use tower_api_key_test_support::pg_server::{database, execute};

/// More than one step removes. Alice's are the last of these to end.
const ENDED: u64 = 5_000;
const OF_ALICE: usize = 10;

const FILL: &str = "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at,
    not_before, expires_at, lineage, generation, version, metadata)
SELECT lpad(n::text, 12, '0'), 'orders', sha256(n::text::bytea),
    CASE WHEN n <= 4990 THEN 'mallory' ELSE 'alice' END, 'read', 100, 100, 200 + n,
    lpad(n::text, 12, '0'), 0, 1, '{}'
FROM generate_series(1, 5000) AS n";

const BY: Timestamp = Timestamp::from_unix(10_000);

/// After the first records are gone, a step waits for a lock before it locks any of its own.
const GATE: &str = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM tower_api_keys) < 5000 THEN
        PERFORM pg_advisory_xact_lock(42);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER gate BEFORE DELETE ON tower_api_keys FOR EACH STATEMENT EXECUTE FUNCTION gate()";

#[tokio::test]
async fn r32_revocations_go_on_beside_a_purge() {
    let url = database().await;
    execute(&url, FILL).await.unwrap();
    execute(&url, GATE).await.unwrap();
    let mut keeper = PgConnection::connect(&url).await.unwrap();
    let shut = sqlx::raw_sql("SELECT pg_advisory_lock(42)");
    shut.execute(&mut keeper).await.unwrap();

    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let purge = tokio::spawn(async move {
        let realm = Realm::new("orders").unwrap();
        store.purge(&realm, BY, None).await.unwrap()
    });
    while !someone_waits(&mut keeper).await {
        assert!(!purge.is_finished(), "the purge was a single step");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reason = RevocationReason::AffiliationChanged;
    let revoked = ring.revoke_subject("alice", reason).await.unwrap();
    assert_eq!(revoked, OF_ALICE);
    assert!(!purge.is_finished());

    let open = sqlx::raw_sql("SELECT pg_advisory_unlock(42)");
    open.execute(&mut keeper).await.unwrap();
    // The end of a revoked key is its revocation, which is just now.
    assert_eq!(purge.await.unwrap(), ENDED - OF_ALICE as u64);
}

#[tokio::test]
async fn what_another_session_holds_is_left_for_the_next_purge() {
    let url = database().await;
    execute(&url, FILL).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let hold = "BEGIN; SELECT FROM tower_api_keys WHERE subject = 'mallory' FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();

    // More records are locked than a step would remove, and those after them are found.
    let store = connect(&url).await;
    let realm = Realm::new("orders").unwrap();
    assert_eq!(
        store.purge(&realm, BY, None).await.unwrap(),
        OF_ALICE as u64
    );
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let rest = store.purge(&realm, BY, None).await.unwrap();
    assert_eq!(rest, ENDED - OF_ALICE as u64);
}
