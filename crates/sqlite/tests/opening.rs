//! Files that are not as they should be.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tower_api_key::store::{KeyStore, StoreError, StoreErrorKind};
use tower_api_key::{ErrorKind, Grant, RevocationReason, Timestamp, VerifyErrorKind};
use tower_api_key_sqlite::SqliteStore;

use super::sharing::{ring, ring_over};
use super::{advice, found};
use tower_api_key_test_support::folder::Folder;

type Open = fn(&Path) -> Result<SqliteStore, StoreError>;

const OPEN: Open = |path| SqliteStore::open(path);
const EXISTING: Open = |path| SqliteStore::open_existing(path);
const READ_ONLY: Open = |path| SqliteStore::open_read_only(path);

#[track_caller]
fn fails(open: &[Open], path: &Path, kind: StoreErrorKind, expected: &str) {
    for open in open {
        let error = open(path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(advice(&error, path), expected);
    }
}

#[test]
fn a_file_is_created_for_its_owner_alone() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(
        format!("{store:?}"),
        format!("SqliteStore {{ path: {path:?}, .. }}")
    );
    #[cfg(unix)]
    for name in ["keys.db", "keys.db-wal", "keys.db-shm"] {
        use std::os::unix::fs::PermissionsExt;

        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let connection = Connection::open(&path).unwrap();
    for (pragma, value) in [
        ("application_id", "1414219097"),
        ("user_version", "12"),
        ("journal_mode", "wal"),
        ("integrity_check", "ok"),
    ] {
        let read: rusqlite::types::Value = connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .unwrap();
        let read = match read {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{pragma}: {other:?}"),
        };
        assert_eq!(read, value, "{pragma}");
    }
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = Folder::new();
    let path = folder.path().join("missing").join("keys.db");
    let unavailable = StoreErrorKind::Unavailable;
    fails(
        &[OPEN],
        &path,
        unavailable,
        "its directory does not exist; create it first",
    );
    let missing = "there is no such file; check the name, or create the store first";
    fails(&[EXISTING, READ_ONLY], &path, unavailable, missing);
    fails(&[EXISTING, READ_ONLY], &folder.keys(), unavailable, missing);
    assert!(!folder.keys().exists());
    let directory = "this is a directory; name a file in it";
    fails(
        &[OPEN, EXISTING, READ_ONLY],
        folder.path(),
        unavailable,
        directory,
    );
}

#[test]
fn what_is_no_database_is_left_as_it_is() {
    let folder = Folder::new();
    let path = folder.keys();
    let text = "alice: read\n".repeat(1_000);
    fs::write(&path, &text).unwrap();
    let advice = "this is not a SQLite database; name another file, or restore it from a backup";
    fails(
        &[OPEN, EXISTING, READ_ONLY],
        &path,
        StoreErrorKind::Corrupt,
        advice,
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_database_of_another_application_is_left_as_it_is() {
    let folder = Folder::new();
    for set_up in [
        "CREATE TABLE orders (id INTEGER PRIMARY KEY)",
        "PRAGMA application_id = 42",
        "PRAGMA user_version = 1",
    ] {
        let path = folder.fresh();
        Connection::open(&path)
            .unwrap()
            .execute_batch(set_up)
            .unwrap();
        let before = fs::read(&path).unwrap();
        let advice = "this is the database of another application; name another file";
        fails(
            &[OPEN, EXISTING, READ_ONLY],
            &path,
            StoreErrorKind::Schema,
            advice,
        );
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn an_empty_file_is_a_store_only_for_who_creates_one() {
    let folder = Folder::new();
    let path = folder.keys();
    fs::write(&path, "").unwrap();
    let advice = "the file holds no keys yet; create the store first";
    fails(
        &[EXISTING, READ_ONLY],
        &path,
        StoreErrorKind::Schema,
        advice,
    );
    SqliteStore::open(&path).unwrap();
    SqliteStore::open_existing(&path).unwrap();
    SqliteStore::open_read_only(&path).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_also_while_the_store_is_open() {
    let folder = Folder::new();
    let path = folder.keys();
    let ring = ring(&path);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 13")
        .unwrap();
    let expected =
        "its schema has version 13, and this crate reads versions up to 12; upgrade tower-api-key";
    fails(
        &[OPEN, EXISTING, READ_ONLY],
        &path,
        StoreErrorKind::Schema,
        expected,
    );

    let id = issued.record().id();
    let error = ring
        .revoke(id, RevocationReason::Unspecified)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let error = std::error::Error::source(&error).unwrap();
    let error = error.downcast_ref::<StoreError>().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    assert_eq!(advice(error, &path), expected);
    // The meaning of a row in a newer schema is unknown, so nothing is read from it.
    let unavailable = Err(VerifyErrorKind::StoreUnavailable);
    super::server::becomes(&ring, &issued, unavailable).await;
}

#[tokio::test]
async fn a_store_that_is_read_only_reads() {
    let folder = Folder::new();
    let path = folder.keys();
    let writing = ring(&path);
    let issued = writing.issue(Grant::new("alice")).await.unwrap();
    let store = SqliteStore::open_read_only(&path).unwrap();
    let reading = ring_over(store.clone());
    let presented = issued.secret().expose().as_bytes();
    let id = issued.record().id();
    assert_eq!(reading.verify(presented).await.unwrap().id(), id);
    assert_eq!(
        reading.get(id).await.unwrap().as_ref(),
        Some(issued.record())
    );

    let realm = issued.record().realm();
    let expected = "the store was opened to read only; open it to write";
    for error in [
        store
            .purge(realm, Timestamp::from_unix(0), None)
            .await
            .unwrap_err(),
        store.record_uses(realm, &[]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
        assert_eq!(advice(&error, &path), expected);
    }
    let error = reading.issue(Grant::new("bob")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);

    writing
        .revoke(id, RevocationReason::Unspecified)
        .await
        .unwrap();
    assert_eq!(
        reading.verify(presented).await.unwrap_err().kind(),
        VerifyErrorKind::Invalid(tower_api_key::InvalidCause::Revoked)
    );
}

#[tokio::test]
async fn r20_a_damaged_file_is_an_error() {
    let folder = Folder::new();
    let path = folder.keys();
    let first = ring(&path);
    let issued = first.issue(Grant::new("alice")).await.unwrap();
    drop(first);
    let connection = Connection::open(&path).unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let root: u32 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'api_keys'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(connection);
    let advice_due = "the file is damaged; restore it from a backup";

    // The schema is whole, but the table is not.
    let mut bytes = fs::read(&path).unwrap();
    let end = 4096 * usize::try_from(root).unwrap();
    bytes[end - 4096..end].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let found = found(&store, issued.record().realm(), issued.record().digest());
    let error = found.await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(advice(&error, &path), advice_due);
    let presented = issued.secret().expose().as_bytes();
    let error = ring_over(store).verify(presented).await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);

    // Only the head is whole.
    let path = folder.fresh();
    bytes[4096..].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    fails(
        &[OPEN, EXISTING, READ_ONLY],
        &path,
        StoreErrorKind::Corrupt,
        advice_due,
    );
}

#[tokio::test]
async fn a_table_that_is_gone_is_an_error_of_the_schema() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE api_keys").unwrap();
    let realm = tower_api_key::Realm::new("orders").unwrap();
    let digest = tower_api_key::KeyDigest::from_bytes([0; 32]);
    let error = found(&store, &realm, &digest).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
}

#[tokio::test]
async fn a_name_that_means_memory_to_sqlite_is_a_file() {
    let folder = Folder::new();
    let path = folder.path().join(":memory:");
    let issued = ring(&path).issue(Grant::new("alice")).await.unwrap();
    assert!(path.exists());
    let again = ring(&path);
    again
        .verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
    let error = SqliteStore::open("").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}
