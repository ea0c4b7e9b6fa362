//! The contents of a copy of the file, and backups.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tower_api_key::store::StoreErrorKind;
use tower_api_key::{
    CaveatKind, Grant, InvalidCause, KeyRing, Narrowing, RevocationReason, ScopeSet,
    VerifyErrorKind,
};
use tower_api_key_sqlite::SqliteStore;

use super::advice;
use super::server::{REVOKED, becomes, opens, revoke, server, verdict};
use super::sharing::ring;
use tower_api_key_test_support::folder::Folder;

/// Waits until the log has been copied into the file.
pub(super) async fn settled(path: &Path) {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    for _ in 0..6_000 {
        if std::fs::metadata(&log).is_ok_and(|log| log.len() == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the log is never brought into the file");
}

/// The usual copy of a file: without the log. In another process, so that no lock of this one ends.
fn cp(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn r32_a_copy_of_the_file_holds_what_was_revoked_a_while_ago() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    server.revoke(issued.record().id(), reason).await.unwrap();
    settled(&path).await;
    let copy = folder.fresh();
    cp(&path, &copy);
    let error = verdict(&ring(&copy), &issued).await.unwrap_err();
    assert_eq!(error, verdict(&server, &issued).await.unwrap_err());
}

/// If another process has the file open, SQLite would leave everything in the log.
#[tokio::test]
async fn r32_a_copy_of_the_file_holds_what_a_store_revoked_before_it_was_dropped() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let shell = ring(&path);
    let reason = RevocationReason::KeyCompromise;
    shell.revoke(issued.record().id(), reason).await.unwrap();
    drop(shell);
    let copy = folder.fresh();
    cp(&path, &copy);
    assert_eq!(
        verdict(&ring(&copy), &issued).await,
        verdict(&server, &issued).await
    );

    // The last one leaves the file alone.
    drop(server);
    for suffix in ["-wal", "-shm"] {
        let path = format!("{}{suffix}", path.display());
        assert!(!Path::new(&path).exists(), "{suffix}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_is_one_file_for_its_owner_alone_and_a_store_of_its_own() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let copy = folder.fresh();
    store.backup(&copy).await.unwrap();
    let names = std::fs::read_dir(folder.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("keys.db")).collect();
    names.sort();
    assert_eq!(names, ["keys-0.db"]);
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Its own: a key that is revoked in one is live in the other.
    revoke(&server, &issued).await;
    let error = store.backup(&copy).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(
        advice(&error, &copy),
        "a file of this name exists already, and was not changed; choose another name"
    );
    assert_eq!(verdict(&ring(&copy), &issued).await, Ok(()));

    let missing = folder.path().join("missing").join("keys.db");
    let error = store.backup(&missing).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

/// Rights that were removed since the backup stay removed, for every method, and servers see it.
#[tokio::test]
async fn r32_a_restore_revives_nothing_that_the_present_store_knows_to_be_dead() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let grant = |subject| Grant::new(subject).scopes(["write", "read", "list"]);
    let untouched = server.issue(grant("alice")).await.unwrap();
    let revoked = server.issue(grant("bob")).await.unwrap();
    let narrowed = server.issue(grant("carol")).await.unwrap();
    let rotated = server.issue(grant("dave")).await.unwrap();
    let dead_before = server.issue(grant("erin")).await.unwrap();
    revoke(&server, &dead_before).await;
    let copy = folder.fresh();
    store.backup(&copy).await.unwrap();

    revoke(&server, &revoked).await;
    let keeps = ScopeSet::new(["list", "read"]).unwrap();
    server.narrow(narrowed.record().id(), &keeps).await.unwrap();
    let grace = Duration::from_hours(1);
    let newest = server.rotate(rotated.record().id(), grace).await.unwrap();
    let later = server.issue(grant("frank")).await.unwrap();
    let due = server.get(rotated.record().id()).await.unwrap().unwrap();

    let restored = SqliteStore::restore(&copy).into(&path).unwrap();
    assert_eq!((restored.keys, restored.shrunk), (5, 3));
    assert!(restored.present);
    let unknown = Err(VerifyErrorKind::Invalid(InvalidCause::Unknown));
    for server in [&opens(&path).await, &server] {
        becomes(server, &later, unknown).await;
        assert_eq!(verdict(server, &newest).await, unknown);
        assert_eq!(verdict(server, &revoked).await, REVOKED);
        assert_eq!(verdict(server, &dead_before).await, REVOKED);
        for (issued, scopes) in [(&untouched, "list read write"), (&narrowed, "list read")] {
            let presented = issued.secret().expose().as_bytes();
            let key = server.verify(presented).await.unwrap();
            assert_eq!(key.scopes().as_str(), scopes);
        }
        let rotated = server.get(rotated.record().id()).await.unwrap().unwrap();
        assert_eq!(rotated.grace_ends_at(), due.grace_ends_at());
        assert!(rotated.grace_ends_at().is_some());
    }
    revoke(&server, &untouched).await;
    assert_eq!(verdict(&opens(&path).await, &untouched).await, REVOKED);
    // None of its temporary files remains.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("restoring"), "{name}");
    }
}

/// A caveat that was added since the backup stays, and so does one that only the backup has.
#[tokio::test]
async fn invariant_14_a_restore_removes_no_caveat() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let server = KeyRing::builder("acme")
        .realm("orders")
        .grantable_caveats(CaveatKind::ALL)
        .build(store.clone())
        .unwrap();
    let caveat = |text| Narrowing::new().with_caveats([text]);
    let mut ids = Vec::new();
    for (before, since) in [
        ("", ""),
        ("", "net=10.0.0.0/8"),
        ("net=10.0.0.0/8", ""),
        ("net=10.1.0.0/16", "net=10.0.0.0/8"),
    ] {
        let id = server.issue(Grant::new("alice")).await.unwrap().id();
        if !before.is_empty() {
            server.narrow(id, caveat(before)).await.unwrap();
        }
        ids.push((id, since));
    }
    let copy = folder.fresh();
    store.backup(&copy).await.unwrap();
    for &(id, since) in &ids {
        if !since.is_empty() {
            server.narrow(id, caveat(since)).await.unwrap();
        }
    }
    drop((store, server));

    let restored = SqliteStore::restore(&copy).into(&path).unwrap();
    assert_eq!((restored.keys, restored.shrunk), (4, 2));
    let store = ring(&path);
    let expected = [
        "",
        "net=10.0.0.0/8",
        "net=10.0.0.0/8",
        "net=10.0.0.0/8 net=10.1.0.0/16",
    ];
    for ((id, _), expected) in ids.into_iter().zip(expected) {
        let record = store.get(id).await.unwrap().unwrap();
        assert_eq!(record.caveats().as_str(), expected);
    }
}

/// A newer file of the schema before caveats, which was made before an upgrade.
#[tokio::test]
async fn r32_a_restore_learns_from_a_newer_file_of_an_earlier_schema() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let (monday, tuesday) = (folder.fresh(), folder.fresh());
    store.backup(&monday).await.unwrap();
    revoke(&server, &issued).await;
    store.backup(&tuesday).await.unwrap();
    drop((store, server));
    rusqlite::Connection::open(&tuesday)
        .unwrap()
        .execute_batch(
            "DROP TRIGGER api_keys_are_described_alone; DROP TRIGGER api_keys_have_caveats;
             DROP TRIGGER api_keys_lose_no_caveat;
             DROP TRIGGER api_keys_count_their_caveats;
             DROP TRIGGER api_keys_note_in_history_new_keys;
             DROP TRIGGER api_keys_note_in_history_changes;
             DROP TRIGGER api_keys_note_in_history_removed_keys; DROP TRIGGER api_keys_note_in_history_notices;
             DROP TABLE api_key_history; DROP TABLE api_key_acting; ALTER TABLE api_keys DROP COLUMN caveats;
             PRAGMA user_version = 4;",
        )
        .unwrap();
    let place = folder.fresh();
    let restored = SqliteStore::restore(&monday)
        .also_revoked_in(&tuesday)
        .danger_present_is_lost()
        .into(&place)
        .unwrap();
    assert_eq!((restored.keys, restored.shrunk), (1, 1));
    assert_eq!(verdict(&ring(&place), &issued).await, REVOKED);
}

#[tokio::test]
async fn r32_a_restore_learns_from_newer_files_and_needs_a_word_if_the_store_is_lost() {
    let folder = Folder::new();
    let path = folder.keys();
    let first = ring(&path);
    let issued = first.issue(Grant::new("alice")).await.unwrap();
    let other = first.issue(Grant::new("bob")).await.unwrap();
    drop(first);
    let (monday, tuesday) = (folder.fresh(), folder.fresh());
    let store = SqliteStore::open(&path).unwrap();
    store.backup(&monday).await.unwrap();
    revoke(&super::sharing::ring_over(store.clone()), &issued).await;
    store.backup(&tuesday).await.unwrap();
    drop(store);

    // There is no present store, but Tuesday's file has the revocation.
    let fresh = folder.fresh();
    let restore = SqliteStore::restore(&monday).also_revoked_in(&tuesday);
    let restored = restore.clone().into(&fresh).unwrap();
    assert_eq!(
        (restored.keys, restored.shrunk, restored.present),
        (2, 1, false)
    );
    assert_eq!(verdict(&ring(&fresh), &issued).await, REVOKED);
    assert_eq!(verdict(&ring(&fresh), &other).await, Ok(()));

    // The existing file cannot be read.
    let text = "alice: read\n".repeat(1_000);
    std::fs::write(&path, &text).unwrap();
    let error = restore.clone().into(&path).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let restored = restore.danger_present_is_lost().into(&path).unwrap();
    assert_eq!(
        (restored.keys, restored.shrunk, restored.present),
        (2, 1, false)
    );
    assert_eq!(verdict(&ring(&path), &issued).await, REVOKED);

    // A file that is not a backup changes nothing.
    let error = SqliteStore::restore(folder.fresh())
        .into(&path)
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(verdict(&ring(&path), &other).await, Ok(()));
}

/// Commits that wait while a restore holds the lock do not end up unnoticed in the replaced file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_a_revocation_beside_restores_is_in_the_store_or_an_error() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let mut keys = Vec::new();
    for _ in 0..60 {
        keys.push(server.issue(Grant::new("alice")).await.unwrap());
    }
    let copy = folder.fresh();
    store.backup(&copy).await.unwrap();
    let restoring = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            for _ in 0..5 {
                match SqliteStore::restore(&copy).into(&path) {
                    Ok(_) => {}
                    // The server holds the lock, or has yet to close the file that the last restore
                    // replaced.
                    Err(error) => {
                        let again = format!("{error:?}").contains("try again when that store");
                        assert!(again || error.kind() == StoreErrorKind::Busy, "{error:?}");
                    }
                }
            }
        }
    });
    let mut acknowledged = Vec::new();
    for issued in &keys {
        let reason = RevocationReason::KeyCompromise;
        if server.revoke(issued.record().id(), reason).await.is_ok() {
            acknowledged.push(issued);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    restoring.await.unwrap();
    let shell = opens(&path).await;
    for issued in acknowledged {
        assert_eq!(verdict(&shell, issued).await, REVOKED);
        becomes(&server, issued, REVOKED).await;
    }
}
