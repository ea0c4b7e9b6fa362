//! What a limit on the keys of a subject looks at.

mod hands;
mod races;
mod rights;

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tower_api_key::store::{Change, KeyLimit, KeyStore, StoreErrorKind};
use tower_api_key::{Grant, KeyRing, ManualClock, Realm, RevocationReason, Subject, Timestamp};
use tower_api_key_postgres::{InTransaction, PostgresStore, sqlx};

use super::{UNDO_SUBJECTS, builder, connect, patient};
use tower_api_key_test_support::pg_server::{database, execute, until};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const LATER: Timestamp = Timestamp::from_unix(1_800_000_100);

/// A ring whose subjects have so many keys at the most.
fn limited(store: PostgresStore, most: usize) -> KeyRing {
    let ring = builder()
        .clock(ManualClock::new(NOW))
        .max_keys_per_subject(most);
    ring.build(store).unwrap()
}

/// Keys of alice by one statement, with this end.
fn fill(first: u32, keys: u32, expires_at: &str) -> String {
    format!(
        "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, expires_at, lineage, \
         generation, version, metadata) SELECT lpad(n::text, 12, '0'), 'orders', sha256(n::text::bytea), 'alice', \
         'read', 1, 1, {expires_at}, lpad(n::text, 12, '0'), 0, 1, '{{}}' \
         FROM generate_series({first}, {first} + {keys} - 1) AS n"
    )
}

fn id(number: u32) -> String {
    format!("{number:0>12}")
}

fn within(subject: &str, most: usize, at: Timestamp) -> Change {
    let (realm, subject): (Realm, Subject) = ("orders".parse().unwrap(), subject.parse().unwrap());
    Change::new(Vec::new()).only_within(KeyLimit::new(&realm, &subject, most, at))
}

/// Whether a limit on the keys of alice holds.
async fn holds(store: &PostgresStore, most: usize, at: Timestamp) -> bool {
    match store.commit(&within("alice", most, at)).await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::TooManyKeys, "{error:?}");
            false
        }
    }
}

/// How many keys alice has, by the limits that hold.
async fn has(store: &PostgresStore, keys: usize, at: Timestamp) -> bool {
    holds(store, keys, at).await && !holds(store, keys - 1, at).await
}

/// The number that is kept for alice.
async fn kept(url: &str) -> Option<i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let kept = "SELECT keys FROM tower_api_key_subjects WHERE subject = 'alice' AND counted_at IS NOT NULL";
    let row = sqlx::query(kept).fetch_optional(&mut connection).await;
    row.unwrap().map(|row| row.get(0))
}

/// A store with a number of forty keys of alice, of which every other expires by [`LATER`].
async fn forty() -> (String, PostgresStore) {
    let url = database().await;
    let store = connect(&url).await;
    let end = format!("{} + n % 2 * 1000", NOW.as_unix() + 10);
    execute(&url, &fill(0, 40, &end)).await.unwrap();
    assert_eq!(kept(&url).await, None);
    assert!(has(&store, 40, NOW).await);
    assert_eq!(kept(&url).await, Some(40));
    (url, store)
}

/// How many entries of indexes and rows of the keys were read, by sessions that have ended, and how often the keys of
/// a subject were counted.
async fn reads(url: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = "SELECT sum(indexes.idx_tup_read)::bigint + max(tables.seq_tup_read), \
                 max(indexes.idx_scan) FILTER (WHERE indexes.indexrelname = 'tower_api_keys_by_holder') \
                 FROM pg_stat_user_tables AS tables JOIN pg_stat_user_indexes AS indexes USING (relid) \
                 WHERE tables.relname = 'tower_api_keys'";
    sqlx::query_as(query)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_limit_costs_the_same_for_any_number_of_keys() {
    const KEYS: u32 = 5_000;
    let url = database().await;
    execute(&url, &fill(0, KEYS, "NULL")).await.unwrap();
    execute(&url, "VACUUM ANALYZE tower_api_keys")
        .await
        .unwrap();
    let most = usize::try_from(KEYS).unwrap() + 1;
    // Sessions write their statistics when they end.
    let pool = patient().connect(&url).await.unwrap();
    let first = limited(pool.clone(), most);
    let issued = first.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(kept(&url).await, Some(i64::from(KEYS) + 1));

    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let ring = limited(PostgresStore::from_pool(pool.clone()).await.unwrap(), most);
    let before = reads(&url).await;
    let mut id = issued.id();
    for _ in 0..20 {
        // At the limit, a key takes the place of another, and one that is revoked makes room.
        id = ring.regrant(id, Grant::new("alice")).await.unwrap().id();
        let reason = RevocationReason::Unspecified;
        ring.revoke(id, reason).await.unwrap();
        id = ring.issue(Grant::new("alice")).await.unwrap().id();
    }
    pool.close().await;
    // Each issue looks for the digest and the id.
    until(async || reads(&url).await.0 > before.0).await;
    let after = reads(&url).await;
    assert!(after.0 - before.0 < 2_000, "{before:?} {after:?}");
    assert_eq!(after.1, before.1, "no keys of a subject were counted");
    assert_eq!(kept(&url).await, Some(i64::from(KEYS) + 1));
    let error = first.issue(Grant::new("alice")).await.unwrap_err();
    let kind = tower_api_key::ErrorKind::TooManyKeys { limit: most };
    assert_eq!(error.kind(), kind);
}

#[tokio::test]
async fn few_keys_are_counted_each_time() {
    let url = database().await;
    let store = connect(&url).await;
    execute(&url, &fill(0, 32, "NULL")).await.unwrap();
    assert!(has(&store, 32, NOW).await);
    assert_eq!(kept(&url).await, None);
    // Two keys of a lineage are one, and the number is that of the keys.
    let member =
        fill(100, 1, "NULL").replace("lpad(n::text, 12, '0'), 0, 1", "lpad('0', 12, '0'), 1, 1");
    execute(&url, &member).await.unwrap();
    assert!(has(&store, 32, NOW).await);
    assert_eq!(kept(&url).await, Some(33));
}

#[tokio::test]
async fn a_number_counts_for_its_time_and_later_ones() {
    let (url, store) = forty().await;
    // Later, half of them have expired, and the number is exact again.
    assert!(has(&store, 20, LATER).await);
    assert_eq!(kept(&url).await, Some(20));
    assert!(has(&store, 40, NOW).await);
    // What a ring revokes makes room once, and what had expired makes none.
    let ring = limited(store.clone(), 100);
    assert!(has(&store, 20, LATER).await);
    let retired = format!(
        "UPDATE tower_api_keys SET retire_at = 5, version = version + 1 WHERE id = '{}'",
        id(5)
    );
    execute(&url, &retired).await.unwrap();
    assert!(has(&store, 19, LATER).await);
    for number in [0, 1, 1, 2, 3, 5] {
        let id = id(number).parse().unwrap();
        ring.revoke(id, RevocationReason::Unspecified)
            .await
            .unwrap();
    }
    assert_eq!(kept(&url).await, Some(17));
    assert!(has(&store, 17, LATER).await);
    // Nothing is kept of a subject that is gone.
    execute(&url, "DELETE FROM tower_api_keys").await.unwrap();
    let names = "DELETE FROM tower_api_key_subjects";
    assert_eq!(execute(&url, names).await.unwrap(), 0);
    assert!(holds(&store, 0, NOW).await);
}

#[tokio::test]
async fn a_number_that_is_gone_is_counted() {
    let (url, store) = forty().await;
    execute(&url, "DELETE FROM tower_api_key_subjects")
        .await
        .unwrap();
    assert!(has(&store, 40, NOW).await);
    assert_eq!(
        kept(&url).await,
        None,
        "the row of a subject comes with a key"
    );
    execute(&url, &fill(100, 1, "NULL")).await.unwrap();
    assert!(has(&store, 41, NOW).await);
    assert_eq!(kept(&url).await, Some(41));
}

/// Each version of a row that a transaction writes makes the next more expensive.
#[tokio::test]
async fn a_transaction_with_many_changes_leaves_a_number_to_be_counted() {
    let (url, store) = forty().await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let ring = limited(PostgresStore::from_pool(pool.clone()).await.unwrap(), 100);
    let mut transaction = pool.begin().await.unwrap();
    let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
    for _ in 0..30 {
        let issued = keys.issue(Grant::new("alice")).await.unwrap();
        keys.regrant(issued.id(), Grant::new("alice"))
            .await
            .unwrap();
    }
    drop(keys.finish());
    let versions = "SELECT changes FROM tower_api_key_subjects WHERE subject = 'alice'";
    let changes: i32 = sqlx::query_scalar(versions)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert!(changes <= 18, "{changes}");
    assert!(has(&store, 70, NOW).await);
    assert_eq!(kept(&url).await, Some(70));
    let reason = RevocationReason::Unspecified;
    assert_eq!(ring.revoke_subject("alice", reason).await.unwrap(), 70);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let changes: i32 = sqlx::query_scalar(versions)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(changes <= 18, "{changes}");
    assert!(holds(&store, 0, NOW).await);
    assert_eq!(kept(&url).await, Some(0));
}

/// A ring gives a lineage two keys that have not ended at the most.
#[tokio::test]
async fn a_lineage_with_more_keys_hides_no_other() {
    let url = database().await;
    let store = connect(&url).await;
    let end = NOW.as_unix() + 10;
    let one = fill(0, 5, &end.to_string())
        .replace("lpad(n::text, 12, '0'), 0, 1", "lpad('0', 12, '0'), 0, 1");
    execute(&url, &one).await.unwrap();
    assert!(has(&store, 1, NOW).await);
    execute(&url, &fill(5, 1, &(end + 10).to_string()))
        .await
        .unwrap();
    assert!(has(&store, 2, NOW).await);
}

/// Services of the former version write keys before the migration, and of this version after it.
#[tokio::test]
async fn a_schema_from_before_the_migration_counts_each_time() {
    let url = database().await;
    execute(&url, UNDO_SUBJECTS).await.unwrap();
    let store = connect(&url).await;
    execute(&url, &fill(0, 40, "NULL")).await.unwrap();
    assert!(has(&store, 40, NOW).await);
    assert_eq!(patient().migrate(&url).await.unwrap(), 3);
    let ring = limited(store.clone(), 41);
    ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(kept(&url).await, Some(41));
    ring.issue(Grant::new("alice")).await.unwrap_err();
    assert!(has(&store, 41, NOW).await);
}

/// The keys of alice that have not ended, and the number that is kept of them, in one snapshot.
async fn truth(connection: &mut PgConnection) -> (i64, Option<i64>) {
    let query = "SELECT (SELECT count(*) FROM tower_api_keys WHERE subject = 'alice' AND revoked_at IS NULL), \
                 (SELECT keys FROM tower_api_key_subjects WHERE subject = 'alice' AND counted_at IS NOT NULL)";
    sqlx::query_as(query).fetch_one(connection).await.unwrap()
}

/// Whether a session waits for a lock, that of a row too.
async fn waits(url: &str) -> bool {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock')";
    sqlx::query_scalar(waiting)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// Long enough for a statement that does not wait.
const A_WHILE: Duration = Duration::from_secs(2);
