//! Keys that are removed: many that are dead are few rows of the log, and each one that is not is a row.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tower_api_key::KeyDigest;
use tower_api_key::replica::{Changes, Feed as _, Realms};
use tower_api_key_postgres::PostgresStore;

use super::super::{UNDO_REMOVALS, connect};
use super::copy::Copy;
use tower_api_key_test_support::pg_server::{database, execute, patient};

/// Keys with the digests of these numbers.
fn insert(numbers: &str, columns: &str, values: &str) -> String {
    format!(
        "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation,
            version, metadata, {columns})
        SELECT lpad(n::text, 12, '0'), 'orders', sha256(n::text::bytea), 'alice', 'read', 1, 1, lpad(n::text, 12, '0'), 0,
            1, '{{}}', {values} FROM generate_series({numbers}) AS n"
    )
}

/// Keys that have expired.
fn dead(numbers: &str) -> String {
    insert(numbers, "expires_at", "2")
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

async fn digest(connection: &mut PgConnection, of: &str) -> KeyDigest {
    let sql = AssertSqlSafe(format!("SELECT sha256('{of}')"));
    let bytes: Vec<u8> = sqlx::query_scalar(sql).fetch_one(connection).await.unwrap();
    KeyDigest::from_bytes(bytes.try_into().unwrap())
}

const ROWS: &str = "SELECT count(*) FROM tower_api_key_changes";
const EMPTY_THE_LOG: &str = "DELETE FROM tower_api_key_changes";

#[tokio::test]
async fn many_dead_keys_that_are_removed_are_few_changes() {
    let url = database().await;
    let store = connect(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    execute(&url, &dead("1, 130")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    execute(&url, EMPTY_THE_LOG).await.unwrap();
    execute(&url, "DELETE FROM tower_api_keys").await.unwrap();
    assert_eq!(number(&mut connection, ROWS).await, 3);
    assert_eq!(copy.pull().await, 130);
    assert!(copy.records.is_empty());
    assert_eq!(copy.pull().await, 0);
}

/// A service of the former version takes the digests of the rows alone.
#[tokio::test]
async fn r22_each_removal_that_takes_authority_away_is_a_change_by_itself() {
    let url = database().await;
    let store = connect(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in [
        dead("1, 100"),
        insert("101, 101", "expires_at", "NULL"),
        insert("102, 102", "expires_at", "4000000000"),
        insert(
            "103, 103",
            "expires_at, retire_at",
            "4000000000, 4000000000",
        ),
        insert("104, 104", "retire_at", "4000000000"),
        insert("105, 105", "expires_at, retire_at", "4000000000, 2"),
        insert("106, 106", "retire_at", "2"),
        insert(
            "107, 107",
            "revoked_at, revocation_reason",
            "9, 'superseded'",
        ),
    ] {
        execute(&url, &statement).await.unwrap();
    }
    let mut copy = Copy::of(&store).await;
    execute(&url, EMPTY_THE_LOG).await.unwrap();
    execute(&url, "DELETE FROM tower_api_keys").await.unwrap();
    let former = "SELECT count(*) FROM tower_api_key_changes
        WHERE digest = ANY (SELECT sha256(n::text::bytea) FROM generate_series(101, 104) AS n)";
    assert_eq!(number(&mut connection, former).await, 4);
    let alone = format!("{former} AND removed_too IS NULL");
    assert_eq!(number(&mut connection, &alone).await, 4);
    assert_eq!(number(&mut connection, ROWS).await, 4 + 2);
    assert_eq!(copy.pull().await, 107);
    assert!(copy.records.is_empty());
}

#[tokio::test]
async fn r22_keys_that_one_transaction_revokes_and_removes_are_gone() {
    let url = database().await;
    let store = connect(&url).await;
    execute(&url, &insert("1, 100", "expires_at", "NULL"))
        .await
        .unwrap();
    let mut copy = Copy::of(&store).await;
    let end = "BEGIN; UPDATE tower_api_keys SET revoked_at = 5, revocation_reason = 'superseded', version = 2
            WHERE id <= '000000000050';
        UPDATE tower_api_keys SET expires_at = 2, version = 2 WHERE revoked_at IS NULL;
        DELETE FROM tower_api_keys; COMMIT";
    execute(&url, end).await.unwrap();
    copy.pull().await;
    assert!(copy.records.is_empty());

    // And so are those that were there only within the transaction, or again.
    execute(&url, &dead("201, 300")).await.unwrap();
    copy.pull().await;
    assert_eq!(copy.records.len(), 100);
    let remove = "DELETE FROM tower_api_keys";
    let again = format!("BEGIN; {remove}; {}; {remove}; COMMIT", dead("201, 270"));
    execute(&url, &again).await.unwrap();
    copy.pull().await;
    assert!(copy.records.is_empty());
}

/// The row of the first of many keys is there already, and takes the others.
#[tokio::test]
async fn r22_keys_that_are_removed_after_a_change_of_the_first_are_gone() {
    let url = database().await;
    let store = connect(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    execute(&url, &dead("1, 50")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    execute(&url, EMPTY_THE_LOG).await.unwrap();
    let remove = "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
        UPDATE tower_api_keys SET label = 'a', version = 2 WHERE id = '000000000001';
        DELETE FROM tower_api_keys WHERE id > '0'; COMMIT";
    execute(&url, remove).await.unwrap();
    let first = "SELECT count(*) FROM tower_api_key_changes
        WHERE digest = sha256('1') AND octet_length(removed_too) = 49 * 32";
    assert_eq!(number(&mut connection, first).await, 1);
    assert_eq!(number(&mut connection, ROWS).await, 1);
    assert_eq!(copy.pull().await, 50);
    assert!(copy.records.is_empty());
}

/// All pages of the changes, and the digests that are gone.
async fn pages(store: &PostgresStore, copy: &Copy) -> (usize, BTreeSet<[u8; 32]>, usize) {
    let (mut after, mut gone, mut records, mut count) = (None, BTreeSet::new(), 0, 0);
    loop {
        let realms = Realms::all();
        let asked = store.changes(&realms, &copy.position, after.as_ref(), None);
        let Changes::Since(batch) = asked.await.unwrap() else {
            panic!("it is the same history");
        };
        count += 1;
        records += batch.records.len();
        for digest in &batch.gone {
            let bytes = digest.as_bytes();
            assert!(after.is_none_or(|after: KeyDigest| bytes > after.as_bytes()));
            assert!(batch.next.is_none_or(|next| bytes <= next.as_bytes()));
            assert!(gone.insert(*bytes), "twice");
        }
        after = batch.next;
        if after.is_none() {
            return (count, gone, records);
        }
    }
}

#[tokio::test]
async fn r22_a_digest_that_was_inserted_again_is_not_gone() {
    let url = database().await;
    let store = connect(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    execute(&url, &dead("1, 300")).await.unwrap();
    let mut copy = Copy::of(&store).await;

    let remove = "DELETE FROM tower_api_keys";
    execute(&url, &format!("BEGIN; {remove}; {}; COMMIT", dead("1, 10")))
        .await
        .unwrap();
    execute(&url, &dead("11, 20")).await.unwrap();
    let (count, gone, records) = pages(&store, &copy).await;
    assert_eq!((count, gone.len(), records), (1, 280, 20));

    // As many changes that the records are on several pages.
    execute(&url, &dead("1001, 13000")).await.unwrap();
    let (count, gone, records) = pages(&store, &copy).await;
    assert_eq!((count, gone.len(), records), (3, 280, 12_020));
    for number in 1..=300 {
        let digest = digest(&mut connection, &number.to_string()).await;
        assert_eq!(gone.contains(digest.as_bytes()), number > 20, "{number}");
    }
    copy.pull().await;
    assert_eq!(copy.sums(), copy.sums_there().await);
}

/// Of which one row has many.
#[tokio::test]
async fn r22_after_more_removals_than_a_pull_takes_a_reader_begins_anew() {
    let url = database().await;
    let store = connect(&url).await;
    let copy = Copy::of(&store).await;
    let log = "INSERT INTO tower_api_key_changes (xid, digest, removed_too)
        SELECT pg_current_xact_id(), sha256(n::text::bytea), string_agg(sha256((n || ' ' || other)::bytea), '')
        FROM generate_series(1, 4000) AS n, generate_series(1, 49) AS other GROUP BY n";
    execute(&url, log).await.unwrap();
    let (count, gone, _) = pages(&store, &copy).await;
    assert_eq!((count, gone.len()), (1, 200_000));
    let one = "INSERT INTO tower_api_key_changes (xid, digest) VALUES (pg_current_xact_id(), sha256('one'))";
    execute(&url, one).await.unwrap();
    let realms = Realms::all();
    let asked = store.changes(&realms, &copy.position, None, None).await;
    assert!(matches!(asked.unwrap(), Changes::Lost));
}

/// Services of the version before go on, and a replica says what it needs.
#[tokio::test]
async fn a_schema_from_before_is_migrated() {
    let url = database().await;
    execute(&url, UNDO_REMOVALS).await.unwrap();
    execute(&url, &dead("1, 70")).await.unwrap();
    let store = connect(&url).await;
    let error = store.head().await.unwrap_err();
    let advice = "run `tower-api-key migrate`, or apply the migrations of tower-api-key-postgres: the schema is of \
                  version 13, and 14 is needed";
    assert_eq!(super::super::errors::source(&error), advice);

    let remove = "DELETE FROM tower_api_keys WHERE id <= '000000000005'";
    execute(&url, remove).await.unwrap();
    assert_eq!(patient().migrate(&url).await.unwrap(), 2);
    let mut copy = Copy::of(&store).await;
    assert_eq!(copy.records.len(), 65);
    execute(&url, "DELETE FROM tower_api_keys").await.unwrap();
    assert_eq!(copy.pull().await, 65);
    assert!(copy.records.is_empty());
}
