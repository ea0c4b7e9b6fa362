//! A schema that changes under an open store: another table in its place is not an empty store.

use rusqlite::Connection;
use tower_api_key::store::{ListQuery, StoreError, StoreErrorKind};
use tower_api_key::{Description, ErrorKind, Grant, Narrowing, RevocationReason, VerifyErrorKind};
use tower_api_key_sqlite::SqliteStore;

use super::server::{becomes, server, verdict};
use super::sharing::ring_over;
use super::{advice, found};
use tower_api_key_test_support::folder::Folder;

const FOREIGN: &str = "its table of keys is missing, or differs from the one that this version of the crate creates; \
                       restore the file from a backup";
const UNAVAILABLE: Result<(), VerifyErrorKind> = Err(VerifyErrorKind::StoreUnavailable);

/// Replacements of the table, each with all the columns that look-ups read.
const IN_ITS_PLACE: &[&str] = &[
    "CREATE TABLE api_keys (id, realm, digest, pepper_version, subject, scopes, issued_at, \
     not_before, expires_at, retire_at, lineage, generation, version, revoked_at, \
     revocation_reason, label, metadata, last_used_at, prefix, caveats)",
    "CREATE VIEW api_keys AS SELECT * FROM kept WHERE subject = 'nobody'",
    "CREATE TABLE api_keys AS SELECT * FROM kept LIMIT 0",
];

#[tokio::test]
async fn r20_an_empty_table_in_the_place_of_the_keys_is_an_error_at_once() {
    for replacement in IN_ITS_PLACE {
        let folder = Folder::new();
        let path = folder.keys();
        // Its own check is too rare to be the one that notices.
        let options = SqliteStore::options().check_interval(std::time::Duration::from_secs(1));
        let store = options.open(&path).unwrap();
        let ring = ring_over(store.clone());
        let issued = ring.issue(Grant::new("alice")).await.unwrap();
        assert_eq!(verdict(&ring, &issued).await, Ok(()));
        let other = Connection::open(&path).unwrap();
        other
            .execute_batch(&format!(
                "BEGIN; CREATE TABLE kept AS SELECT * FROM api_keys; DROP TABLE api_keys; \
                 {replacement}; COMMIT;"
            ))
            .unwrap();
        let (realm, digest) = (issued.record().realm(), issued.record().digest());
        for _ in 0..3 {
            let error = found(&store, realm, digest).await.expect_err(replacement);
            assert_eq!(error.kind(), StoreErrorKind::Schema);
            assert_eq!(advice(&error, &path), FOREIGN);
        }
        let id = issued.record().id();
        let reason = RevocationReason::Unspecified;
        for error in [
            ring.get(id).await.map(drop).unwrap_err(),
            ring.list(&ListQuery::new()).await.map(drop).unwrap_err(),
            ring.last_used(id).await.map(drop).unwrap_err(),
            ring.revoke(id, reason).await.unwrap_err(),
            ring.issue(Grant::new("bob")).await.map(drop).unwrap_err(),
            ring.purge().await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Store, "{error:?}");
            let source = std::error::Error::source(&error).unwrap();
            let source = source.downcast_ref::<StoreError>().unwrap();
            assert_eq!(source.kind(), StoreErrorKind::Schema);
            assert_eq!(advice(source, &path), FOREIGN);
        }
        for open in [
            SqliteStore::open,
            SqliteStore::open_existing,
            SqliteStore::open_read_only,
        ] {
            let error = open(&path).unwrap_err();
            assert_eq!(advice(&error, &path), FOREIGN);
        }
    }
}

/// An added index is not a fault, and after a repair the store answers again.
#[tokio::test]
async fn r20_a_change_of_the_schema_that_leaves_the_table_is_none() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let other = Connection::open(&path).unwrap();
    for change in [
        "CREATE INDEX api_keys_by_label ON api_keys (label)",
        "CREATE TABLE notes (text TEXT)",
        "ANALYZE",
        "VACUUM",
    ] {
        other.execute_batch(change).unwrap();
        let found = found(&store, issued.record().realm(), issued.record().digest()).await;
        assert_eq!(found.unwrap().as_ref(), Some(issued.record()), "{change}");
    }
}

/// Without its guards, a statement by hand could widen a key. If a guard is missing, the database
/// gives no answers, and names the guard, until it is back.
#[tokio::test]
async fn r01_a_database_without_a_guard_answers_nothing() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let other = Connection::open(&path).unwrap();
    let guards: Vec<(String, String)> = other
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name")
        .and_then(|mut found| {
            let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
        .unwrap();
    assert_eq!(guards.len(), 50, "{guards:?}");
    for (name, guard) in guards {
        let tamed = format!(
            "DROP TRIGGER {name}; CREATE TRIGGER {name} BEFORE UPDATE ON api_keys WHEN 0 \
             BEGIN SELECT 1; END"
        );
        for change in [format!("DROP TRIGGER {name}"), tamed] {
            other.execute_batch(&change).unwrap();
            let (realm, digest) = (issued.record().realm(), issued.record().digest());
            let error = found(&store, realm, digest).await.expect_err(&name);
            assert_eq!(error.kind(), StoreErrorKind::Schema);
            let expected = format!(
                "its trigger {name} is missing, or differs from the one that this version of the \
                 crate creates; put it back, or restore the file from a backup"
            );
            assert_eq!(advice(&error, &path), expected);
            becomes(&server, &issued, UNAVAILABLE).await;
            let refused = SqliteStore::open(&path).unwrap_err();
            assert_eq!(advice(&refused, &path), expected);
            let back = format!("DROP TRIGGER IF EXISTS {name}; {guard}");
            other.execute_batch(&back).unwrap();
            becomes(&server, &issued, Ok(())).await;
        }
    }
}

/// The store itself notices the changes that SQLite does not count as a change of the schema.
#[tokio::test]
async fn r20_another_version_or_application_is_an_error_until_it_is_right_again() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let other = Connection::open(&path).unwrap();
    let version: i64 = other
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    let application: i64 = other
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .unwrap();
    for (wrong, right) in [
        ("user_version = 99", format!("user_version = {version}")),
        ("user_version = 0", format!("user_version = {version}")),
        (
            "application_id = 42",
            format!("application_id = {application}"),
        ),
    ] {
        other.execute_batch(&format!("PRAGMA {wrong}")).unwrap();
        becomes(&server, &issued, UNAVAILABLE).await;
        other.execute_batch(&format!("PRAGMA {right}")).unwrap();
        becomes(&server, &issued, Ok(())).await;
    }
}

#[tokio::test]
async fn r32_metadata_in_a_form_of_another_hand_keeps_no_key_from_being_narrowed() {
    let folder = Folder::new();
    let ring = ring_over(SqliteStore::open(folder.keys()).unwrap());
    let grant = Grant::new("alice").scopes(["read", "write"]);
    let id = ring.issue(grant.label("laptop")).await.unwrap().id();
    let other = Connection::open(folder.keys()).unwrap();
    let text = r#"{ "b":"x" , "a":"\u00e9" }"#;
    let edit = "UPDATE api_keys SET metadata = ?1, version = version + 1";
    assert_eq!(other.execute(edit, [text]), Ok(1));

    let narrowed = ring.narrow(id, Narrowing::new().to_scopes("read")).await;
    assert_eq!(narrowed.unwrap().scopes().as_str(), "read");
    let minute = std::time::Duration::from_mins(1);
    let rotated = ring.rotate(id, minute).await.unwrap();
    assert_eq!(rotated.record().metadata().get("a"), Some("\u{e9}"));
    // A write that does not change it leaves it as it is.
    let kept = "SELECT metadata FROM api_keys WHERE id = ?1";
    let kept = other.query_row(kept, [id.as_str()], |row| row.get::<_, String>(0));
    assert_eq!(kept.as_deref(), Ok(text));
    let described = ring.describe(id, Description::new().label("desk")).await;
    assert_eq!(described.unwrap().label().unwrap().as_str(), "desk");
}
