//! The history of the keys in a file.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;
use tower_api_key::Timestamp;
use tower_api_key::store::{HistoryEntry, HistoryKind, HistoryQuery, KeyStore, Target};
use tower_api_key::{Actor, Description, Grant, KeyRing, Realm, Revocation, RevocationReason};
use tower_api_key_sqlite::SqliteStore;

use super::triggers::{KEY, database};
use tower_api_key_test_support::folder::Folder;

const REASON: RevocationReason = RevocationReason::KeyCompromise;

fn ring(path: &Path) -> KeyRing {
    let store = SqliteStore::open(path).unwrap();
    KeyRing::builder("acme").build(store).unwrap()
}

async fn whole(ring: &KeyRing) -> Vec<HistoryEntry> {
    let query = HistoryQuery::new().oldest_first();
    ring.history(&query).await.unwrap().into_iter().collect()
}

/// The kind, the actor and whether it was by hand.
fn seen(entries: &[HistoryEntry]) -> Vec<(HistoryKind, Option<&str>, bool)> {
    let seen = entries.iter().map(|entry| {
        let actor = entry.actor().map(Actor::as_str);
        (entry.kind(), actor, entry.is_by_hand())
    });
    seen.collect()
}

#[tokio::test]
async fn a_statement_by_hand_is_recorded_and_acts_as_nobody() {
    let folder = Folder::new();
    let path = folder.keys();
    let ring = ring(&path);
    let ops = ring.acting_as("ops@example.com").unwrap();
    let issued = ops
        .issue(Grant::new("alice").scopes(["read"]))
        .await
        .unwrap();
    let hand = Connection::open(&path).unwrap();
    for statement in [
        "UPDATE api_keys SET last_used_at = 1",
        "UPDATE api_keys SET revoked_at = 5, revocation_reason = 'superseded', version = version + 1",
        "DELETE FROM api_keys",
    ] {
        assert_eq!(hand.execute(statement, []).unwrap(), 1, "{statement}");
    }
    let entries = whole(&ring).await;
    assert_eq!(
        seen(&entries),
        [
            (HistoryKind::Added, Some("ops@example.com"), false),
            (HistoryKind::Revoked, None, true),
            (HistoryKind::Removed, None, true),
        ]
    );
    // It outlives the record, and names it.
    assert_eq!(ring.get(issued.id()).await.unwrap(), None);
    for entry in &entries {
        assert_eq!(entry.key_id(), Some(issued.id()));
        assert_eq!(entry.subject(), Some("alice"));
        assert_eq!(entry.role(), None);
    }
    assert_eq!(entries[1].after()["revocation_reason"], "superseded");
    assert_eq!(entries[2].before()["scopes"], "read");
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_no_entry_and_no_actor() {
    let folder = Folder::new();
    let path = folder.keys();
    let ops = ring(&path).acting_as("ops").unwrap();
    let issued = ops.issue(Grant::new("alice")).await.unwrap();
    let hand = Connection::open(&path).unwrap();
    // The write is refused after the actor was said.
    hand.execute_batch(
        "CREATE TRIGGER refuses BEFORE UPDATE ON api_keys BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .unwrap();
    ops.revoke(issued.id(), REASON).await.unwrap_err();
    hand.execute_batch("DROP TRIGGER refuses").unwrap();
    let acting = "SELECT by_store, actor IS NULL, forget_before IS NULL FROM api_key_acting";
    let row = hand.query_row(acting, [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    assert_eq!(row, Ok((0, 1, 1)));
    assert_eq!(whole(&ops).await.len(), 1);
}

#[test]
fn no_statement_changes_or_removes_an_entry() {
    let folder = Folder::new();
    let hand = database(&folder, &[KEY]);
    let entries = || -> Vec<Value> {
        let mut all = hand.prepare("SELECT token FROM api_key_history").unwrap();
        let rows = all.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let before = entries();
    assert_eq!(before.len(), 1);
    for statement in [
        "DELETE FROM api_key_history",
        "UPDATE api_key_history SET actor = 'ops'",
        "UPDATE OR REPLACE api_key_history SET seq = 2",
        "REPLACE INTO api_key_history (seq, token, at, realm, action, by_hand) \
         VALUES (1, x'00', 0, 'orders', 'added', 0)",
        "DELETE FROM api_key_acting",
        // It would allow those from before its time, and there is none.
        "DELETE FROM api_key_history WHERE at >= (SELECT coalesce(forget_before, 0) FROM api_key_acting)",
    ] {
        hand.execute(statement, []).expect_err(statement);
    }
    assert_eq!(entries(), before);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_revoked_and_recorded() {
    let folder = Folder::new();
    let path = folder.keys();
    let realm: Realm = "orders".parse().unwrap();
    drop(SqliteStore::open(&path).unwrap());
    let hand = Connection::open(&path).unwrap();
    hand.execute(KEY, []).unwrap();
    // As an earlier version or another program may have left it.
    let guard = "SELECT sql FROM sqlite_schema WHERE name = 'api_keys_keep_their_identity'";
    let guard: String = hand.query_row(guard, [], |row| row.get(0)).unwrap();
    let damage = "DROP TRIGGER api_keys_keep_their_identity; \
         UPDATE api_keys SET subject = CAST(x'ff00fe' AS TEXT), version = version + 1";
    hand.execute_batch(&format!("{damage}; {guard};")).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let revocation = Revocation::new(Timestamp::from_unix(7), REASON);
    let target = Target::Key("AAAAAAAAAAAA".parse().unwrap());
    let ops = Actor::new("ops").unwrap();
    let revoked = store.revoke(&realm, &target, revocation, Some(&ops)).await;
    assert_eq!(revoked.unwrap().ended.len(), 1);
    let query = HistoryQuery::new().limit(1);
    let page = store.history(&realm, &query).await.unwrap();
    assert_eq!(page[0].kind(), HistoryKind::Revoked);
    assert_eq!(page[0].actor().unwrap(), "ops");
    assert_eq!(page[0].subject(), None);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Rule 6: neither the secret nor a part of it, nor the digest, nor what people wrote.
#[tokio::test]
async fn r06_no_secret_and_no_digest_is_in_the_history() {
    let folder = Folder::new();
    let path = folder.keys();
    let ring = ring(&path);
    let (written, name) = ("a-written-label", "a-written-name");
    let grant = Grant::new("alice").label(written);
    let issued = ring.issue(grant.metadata([(name, written)])).await.unwrap();
    let description = Description::new().label("other").metadata([(name, "x")]);
    ring.describe(issued.id(), description).await.unwrap();
    let next = ring.rotate_now(issued.id()).await.unwrap();
    ring.revoke(next.id(), REASON).await.unwrap();
    let hand = Connection::open(&path).unwrap();
    hand.execute("DELETE FROM api_keys", []).unwrap();

    let mut statement = hand.prepare("SELECT * FROM api_key_history").unwrap();
    let columns = statement.column_count();
    let mut dump = String::new();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            match row.get(column).unwrap() {
                Value::Blob(bytes) => dump.push_str(&hex(&bytes)),
                value => write!(dump, "{value:?} ").unwrap(),
            }
        }
    }
    assert!(dump.contains(issued.id().as_str()));
    for key in [&issued, &next] {
        let secret = key.secret().expose();
        let secret = secret.rsplit('_').next().unwrap();
        for start in 0..secret.len() - 8 {
            assert!(
                !dump.contains(&secret[start..start + 8]),
                "a part of the secret"
            );
        }
        let digest = hex(key.record().digest().as_bytes());
        assert!(!dump.contains(&digest[..16]), "a part of the digest");
    }
    for text in [written, name, "other"] {
        assert!(!dump.contains(text), "{text}");
    }
}

#[tokio::test]
async fn a_restored_backup_has_the_history_of_both_files() {
    let folder = Folder::new();
    let (path, backup) = (folder.keys(), folder.fresh());
    let ops = ring(&path).acting_as("ops").unwrap();
    let issued = ops.issue(Grant::new("alice")).await.unwrap();
    let store = SqliteStore::open(&path).unwrap();
    store.backup(&backup).await.unwrap();
    ops.revoke(issued.id(), REASON).await.unwrap();
    drop((store, ops));
    for _ in 0..2 {
        let restore = SqliteStore::restore(&backup).acting_as(Actor::new("dba").unwrap());
        restore.into(&path).unwrap();
    }

    let entries = whole(&ring(&path)).await;
    assert_eq!(
        seen(&entries),
        [
            (HistoryKind::Added, Some("ops"), false),
            // It happened in the file that was replaced, and again to the key of the backup.
            (HistoryKind::Revoked, Some("ops"), false),
            (HistoryKind::Revoked, Some("dba"), false),
            (HistoryKind::Restored, Some("dba"), false),
            (HistoryKind::Revoked, Some("dba"), false),
            (HistoryKind::Restored, Some("dba"), false),
        ]
    );
    let places: HashSet<_> = entries.iter().map(HistoryEntry::place).collect();
    assert_eq!(places.len(), entries.len());
    // A page goes on after the place of a file that was replaced meanwhile.
    let query = HistoryQuery::new().oldest_first().limit(2);
    let page = ring(&path).history(&query).await.unwrap();
    let query = HistoryQuery::new()
        .oldest_first()
        .after(page.next().unwrap());
    assert_eq!(*ring(&path).history(&query).await.unwrap(), entries[2..]);
}
