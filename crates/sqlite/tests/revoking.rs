//! No content of a row keeps a key from being revoked, neither this key nor another.

use std::error::Error;
use std::path::Path;

use rusqlite::Connection;
use tower_api_key::store::{ListQuery, StoreError, StoreErrorKind};
use tower_api_key::{
    ErrorKind, Grant, InvalidCause, KeyId, KeyRing, ManualClock, RevocationReason, VerifyErrorKind,
};
use tower_api_key_sqlite::SqliteStore;

use super::triggers::KEY;
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::sqlite::unguarded;
use tower_api_key_test_support::support::{START, issue};

const REASON: RevocationReason = RevocationReason::KeyCompromise;
/// Rows that are not valid records, or whose version has no next one: a part of a [`KEY`], and its
/// replacement.
const ROWS: [(&str, &str); 12] = [
    ("'{}'", r#"'{"a":1}'"#),
    ("'{}'", "'no JSON'"),
    ("'{}'", r#"'{"a":"\ud800"}'"#),
    ("'read write'", r#"'read"write'"#),
    ("'read write'", "CAST(x'ff' AS TEXT)"),
    ("'laptop'", "CAST(x'ff' AS TEXT)"),
    ("1, 3, 'laptop'", "1, 9223372036854775807, 'laptop'"),
    ("1, 3, 'laptop'", "1, 9223372036854775806, 'laptop'"),
    ("1, 3, 'laptop'", "1, 4611686018427387904, 'laptop'"),
    ("1, 3, 'laptop'", "1, 0, 'laptop'"),
    ("1, 3, 'laptop'", "1, -9223372036854775808, 'laptop'"),
    ("100, 100, 500", "100, -100, 500"),
];

/// The rows that are not valid records.
const UNREADABLE: [usize; 8] = [0, 1, 2, 3, 4, 5, 10, 11];

pub(super) fn id(number: usize) -> KeyId {
    format!("{number:0>12}").parse().unwrap()
}

/// Puts these rows into the lineage of `AAAAAAAAAAAA`, with the ids of their numbers.
fn corrupt(connection: &Connection, subject: &str) {
    unguarded(connection, || {
        for (number, (part, other)) in ROWS.into_iter().enumerate() {
            assert!(KEY.contains(part), "{part}");
            let row = KEY
                .replacen(part, other, 1)
                .replacen("'AAAAAAAAAAAA'", &format!("'{}'", id(number)), 1)
                .replacen("zeroblob(32)", "randomblob(32)", 1)
                .replacen("'alice'", &format!("'{subject}'"), 1);
            connection.execute(&without_prefix(&row), []).expect(&row);
        }
    });
}

/// The row as it goes into the first schema too.
fn without_prefix(row: &str) -> String {
    row.replace(" prefix,", "").replace(" 'acme',", "")
}

/// A file as version 1 of the schema left it, with a healthy key and others.
fn first_schema(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let schema = tower_api_key_sqlite_schema::schema::MIGRATIONS[0];
    let mark = "PRAGMA journal_mode = WAL; PRAGMA application_id = 1414219097; \
                PRAGMA user_version = 1;";
    connection.execute_batch(schema).unwrap();
    connection.execute_batch(mark).unwrap();
    connection.execute(&without_prefix(KEY), []).unwrap();
    corrupt(&connection, "alice");
}

fn ring(store: &SqliteStore) -> KeyRing {
    let builder = KeyRing::builder("acme").realm("orders");
    let clock = ManualClock::new(START);
    builder.clock(clock).build(store.clone()).unwrap()
}

/// The number of rows that are not revoked.
fn living(connection: &Connection) -> i64 {
    let sql = "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn version(connection: &Connection, id: KeyId) -> i64 {
    let sql = "SELECT version FROM api_keys WHERE id = ?1";
    connection
        .query_row(sql, [id.as_str()], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn invariant_13_a_file_of_the_first_schema_is_migrated_as_it_is() {
    let folder = Folder::new();
    let path = folder.keys();
    first_schema(&path);
    let connection = Connection::open(&path).unwrap();
    let text = |connection: &Connection| format!("{:?}", blobs(connection));
    let before = text(&connection);
    let error = SqliteStore::open_existing(&path).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(text(&connection), before);
    drop(store);
    SqliteStore::open_existing(&path).unwrap();

    // The new guards do not check the old values of a row, but they do check the new ones.
    let high = id(6);
    for (edit, changed) in [
        ("metadata = '{}', version = version + 1", false),
        (
            "revoked_at = 1, revocation_reason = 'unspecified', scopes = ''",
            false,
        ),
        ("revoked_at = 1, revocation_reason = 'unspecified'", true),
    ] {
        let edit = format!("UPDATE api_keys SET {edit} WHERE id = '{high}'");
        assert_eq!(connection.execute(&edit, []).is_ok(), changed, "{edit}");
    }
}

/// Every row to the byte, even if it is not text.
fn blobs(connection: &Connection) -> Vec<Vec<u8>> {
    let sql = "SELECT CAST(coalesce(id, '') || '|' || hex(subject) || hex(scopes) || hex(label) \
               || metadata || version || coalesce(revoked_at, '-') AS BLOB) FROM api_keys \
               ORDER BY digest";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Each by its id, all by their lineage, and all by their subject, in a migrated file.
#[tokio::test]
async fn r32_rows_that_cannot_be_read_are_revoked_and_keep_no_other_key_alive() {
    let all = ROWS.len() + 1;
    for way in 0..4 {
        let folder = Folder::new();
        let path = folder.keys();
        first_schema(&path);
        let ring = ring(&SqliteStore::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        beside_unreadable_rows(&ring).await;
        let healthy: KeyId = "AAAAAAAAAAAA".parse().unwrap();
        match way {
            0 => {
                for number in 0..ROWS.len() {
                    let before = version(&connection, id(number));
                    ring.revoke(id(number), REASON).await.unwrap();
                    let after = match before {
                        i64::MAX => before,
                        before if before < 1 => 1,
                        before => before + 1,
                    };
                    assert_eq!(version(&connection, id(number)), after, "{number}");
                    ring.revoke(id(number), REASON).await.unwrap();
                }
                assert_eq!(living(&connection), 1);
                ring.revoke(healthy, REASON).await.unwrap();
            }
            1 => assert_eq!(ring.revoke_lineage(healthy, REASON).await.unwrap(), all),
            2 => assert_eq!(ring.revoke_lineage(id(3), REASON).await.unwrap(), all),
            _ => assert_eq!(ring.revoke_subject("alice", REASON).await.unwrap(), all),
        }
        assert_eq!(living(&connection), 0, "{way}");
        let reasons = "SELECT count(*) FROM api_keys WHERE revocation_reason = 'key_compromise' \
                       AND revoked_at = 1800000000";
        let count: i64 = connection.query_row(reasons, [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(count), Ok(all), "{way}");
        // A revoked row is no longer in any list of live keys.
        let living = ring.list(&ListQuery::new().unrevoked()).await.unwrap();
        assert_eq!(living.complete().unwrap(), []);
    }
}

/// In a file with today's schema, whose owner removed the guards for a moment.
#[tokio::test]
async fn r32_a_healthy_key_beside_rows_that_cannot_be_read_is_revoked() {
    for way in 0..3 {
        let folder = Folder::new();
        let path = folder.keys();
        let ring = ring(&SqliteStore::open(&path).unwrap());
        let key = issue(&ring, "read write").await;
        let key_id = key.record().id();
        let connection = Connection::open(&path).unwrap();
        corrupt(&connection, "alice");
        let count = match way {
            0 => ring.revoke(key_id, REASON).await.map(|()| 1),
            1 => ring.revoke_lineage(key_id, REASON).await,
            _ => ring.revoke_subject("alice", REASON).await,
        };
        assert_eq!(count.unwrap(), if way == 2 { ROWS.len() + 1 } else { 1 });
        let verdict = ring.verify(key.secret().expose().as_bytes()).await;
        let revoked = VerifyErrorKind::Invalid(InvalidCause::Revoked);
        assert_eq!(verdict.unwrap_err().kind(), revoked, "{way}");
    }
}

/// A row whose id is invalid has no name, but its lineage and its subject have.
#[tokio::test]
async fn r32_a_row_without_a_readable_id_is_revoked_and_counted() {
    for way in 0..2 {
        let folder = Folder::new();
        let path = folder.keys();
        let ring = ring(&SqliteStore::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        let row = KEY.replacen("'AAAAAAAAAAAA'", "'AAAA' || char(0)", 1);
        unguarded(&connection, || {
            connection.execute(&row, []).unwrap();
        });
        let page = ring.list(&ListQuery::new()).await.unwrap();
        assert!(page.is_empty());
        let [unreadable] = page.unreadable() else {
            panic!("{page:?}");
        };
        assert_eq!(unreadable.id(), None);
        assert_eq!(unreadable.error().kind(), StoreErrorKind::Corrupt);
        let lineage = "AAAAAAAAAAAA".parse().unwrap();
        let count = match way {
            0 => ring.revoke_lineage(lineage, REASON).await,
            _ => ring.revoke_subject("alice", REASON).await,
        };
        assert_eq!(count.unwrap(), 1);
        assert_eq!(living(&connection), 0);
    }
}

/// After a row that cannot be read is revoked, it blocks no other row.
#[tokio::test]
async fn r32_a_key_is_narrowed_beside_an_unreadable_one_that_is_revoked() {
    let folder = Folder::new();
    let path = folder.keys();
    let ring = ring(&SqliteStore::open(&path).unwrap());
    let key = issue(&ring, "read write").await;
    let key_id = key.record().id();
    let connection = Connection::open(&path).unwrap();
    let lineage = format!("'{key_id}', 1, 3");
    let row = KEY
        .replacen("'AAAAAAAAAAAA', 1, 3", &lineage, 1)
        .replacen("'{}'", r#"'{"a":1}'"#, 1);
    unguarded(&connection, || {
        connection.execute(&row, []).unwrap();
    });

    let unreadable = "AAAAAAAAAAAA".parse().unwrap();
    let read = "read".parse().unwrap();
    let error = ring.narrow(key_id, &read).await.unwrap_err();
    assert_unreadable(&error, unreadable);
    ring.revoke(unreadable, REASON).await.unwrap();
    let narrowed = ring.narrow(key_id, &read).await.unwrap();
    assert_eq!(narrowed.scopes().as_str(), "read");
    ring.regrant(key_id, Grant::new("alice")).await.unwrap();
}

/// A list continues past rows that cannot be read and names them, in pages too.
async fn beside_unreadable_rows(ring: &KeyRing) {
    for query in [ListQuery::new(), ListQuery::new().newest_first()] {
        for size in [1, 3, 100] {
            let mut query = query.clone().limit(size);
            let (mut read, mut unread) = (Vec::new(), Vec::new());
            loop {
                let page = ring.list(&query).await.unwrap();
                let length = page.len() + page.unreadable().len();
                assert!(length <= size, "{length}");
                read.extend(page.iter().map(|record| record.id()));
                for unreadable in page.unreadable() {
                    let id = unreadable.id().unwrap();
                    assert_corrupt(unreadable.error(), id);
                    unread.push(id);
                }
                let Some(next) = page.next() else { break };
                query = query.after(next);
            }
            unread.sort_unstable();
            assert_eq!(unread, UNREADABLE.map(id));
            read.sort_unstable();
            let numbers = (0..ROWS.len()).filter(|number| !UNREADABLE.contains(number));
            let mut readable: Vec<KeyId> = numbers.map(id).collect();
            readable.push("AAAAAAAAAAAA".parse().unwrap());
            assert_eq!(read, readable);
        }
    }
    let complete = ring.list(&ListQuery::new()).await.unwrap().complete();
    assert_corrupt(&complete.unwrap_err(), id(0));
}

#[track_caller]
fn assert_unreadable(error: &tower_api_key::Error, id: KeyId) {
    assert_eq!(error.kind(), ErrorKind::Store);
    let error = error.source().unwrap();
    assert_corrupt(error.downcast_ref().unwrap(), id);
}

#[track_caller]
fn assert_corrupt(error: &StoreError, id: KeyId) {
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(
        error.source().unwrap().to_string(),
        format!("the record of the key {id} cannot be read; revoke the key, or restore the record")
    );
}
