//! The file at the path is not the open file.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key::{ErrorKind, Grant, InvalidCause, RevocationReason, VerifyErrorKind};

use super::advice;
use super::server::{
    REVOKED, UNAVAILABLE, becomes, every, issued_and_revoked, mv, opens, refused, revoke, server,
    vacuum, verdict, written,
};
use super::sharing::ring;
use tower_api_key_test_support::folder::Folder;

#[tokio::test]
async fn r22_a_server_sees_that_a_backup_was_moved_over_its_file() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let restored = folder.path().join("restored.db");
    vacuum(&path, &restored);
    let later = server.issue(Grant::new("bob")).await.unwrap();
    mv(&restored, &path);
    becomes(
        &server,
        &later,
        Err(VerifyErrorKind::Invalid(InvalidCause::Unknown)),
    )
    .await;
    assert_eq!(verdict(&server, &issued).await, Ok(()));

    // The copy was not in WAL mode, in which readers continue while another process writes.
    let mode: String = Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    let shell = opens(&path).await;
    revoke(&shell, &issued).await;
    assert_eq!(verdict(&server, &issued).await, REVOKED);
    // It writes to the new file too.
    let issued = server.issue(Grant::new("carol")).await.unwrap();
    assert_eq!(verdict(&shell, &issued).await, Ok(()));
}

/// A revocation by a shell counts even before the server has checked.
#[tokio::test]
async fn r22_a_revocation_in_the_file_at_the_path_reaches_the_server_that_has_another_open() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, server) = every(&path, Duration::from_millis(300));
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    for _ in 0..3 {
        let restored = folder.path().join("restored.db");
        vacuum(&path, &restored);
        written(&path).await;
        mv(&restored, &path);
        let shell = opens(&path).await;
        let issued = issued_and_revoked(&shell).await;
        drop(shell);
        becomes(&server, &issued, REVOKED).await;
    }
    assert_eq!(verdict(&server, &issued).await, Ok(()));
}

#[tokio::test]
async fn r22_a_file_that_is_renamed_is_an_error_until_it_is_back() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let revoked = server.issue(Grant::new("alice")).await.unwrap();
    revoke(&server, &revoked).await;
    let aside = folder.path().join("aside.db");
    mv(&path, &aside);
    becomes(&server, &issued, UNAVAILABLE).await;
    let error = refused(&store, &issued);
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let missing = "there is no such file; check the name, or create the store first";
    assert_eq!(advice(&error, &path), missing);
    let error = server.issue(Grant::new("bob")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);

    mv(&aside, &path);
    becomes(&server, &issued, Ok(())).await;
    assert_eq!(verdict(&server, &revoked).await, REVOKED);
    server.issue(Grant::new("bob")).await.unwrap();
}

/// The writer does not wait for the thread that checks.
#[tokio::test]
async fn r32_a_revocation_in_a_file_that_is_no_longer_at_the_path_is_an_error() {
    let folder = Folder::new();
    let path = folder.keys();
    let restored = folder.path().join("restored.db");
    let (_, server) = every(&path, Duration::from_secs(1));
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    vacuum(&path, &restored);
    mv(&restored, &path);
    let reason = RevocationReason::KeyCompromise;
    let id = issued.record().id();
    let error = server.revoke(id, reason).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let source = std::error::Error::source(&error).unwrap();
    let source = source.downcast_ref::<StoreError>().unwrap();
    assert_eq!(source.kind(), StoreErrorKind::Unavailable);
    assert_eq!(
        advice(source, &path),
        "the file at this path is not the one that was opened: it was moved or replaced; the \
         store opens the file again"
    );
    // From now on look-ups see it too.
    assert_ne!(verdict(&server, &issued).await, REVOKED);
    becomes(&server, &issued, Ok(())).await;
    server.revoke(id, reason).await.unwrap();
    assert_eq!(verdict(&opens(&path).await, &issued).await, REVOKED);
}

/// A copy over a file leaves its device and its inode unchanged, and SQLite its pages in memory.
#[tokio::test]
async fn r22_a_server_reads_what_was_copied_over_its_file() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let copy = folder.fresh();
    store.backup(&copy).await.unwrap();
    // In the mode of a store.
    drop(ring(&copy));
    let later = server.issue(Grant::new("bob")).await.unwrap();
    super::backups::settled(&path).await;
    assert_eq!(verdict(&server, &later).await, Ok(()));
    let status = Command::new("cp").args([&copy, &path]).status().unwrap();
    assert!(status.success());
    let unknown = Err(VerifyErrorKind::Invalid(InvalidCause::Unknown));
    becomes(&server, &later, unknown).await;
    assert_eq!(verdict(&server, &issued).await, Ok(()));
    for _ in 0..10 {
        server.issue(Grant::new("carol")).await.unwrap();
    }
    revoke(&server, &issued).await;
    // A write now does not bring the old content back.
    for ring in [&server, &opens(&path).await] {
        assert_eq!(verdict(ring, &issued).await, REVOKED);
        assert_eq!(verdict(ring, &later).await, unknown);
    }
    let sound: String = Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

/// A running server neither creates a store nor accepts a file that is not one.
#[tokio::test]
async fn r20_what_is_moved_over_the_file_and_is_no_store_is_an_error() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let kept = folder.path().join("kept.db");
    vacuum(&path, &kept);
    for (content, kind, due) in [
        (
            "",
            StoreErrorKind::Schema,
            "the file holds no keys yet; create the store first",
        ),
        (
            "alice: read\n",
            StoreErrorKind::Corrupt,
            "this is not a SQLite database; name another file, or restore it from a backup",
        ),
    ] {
        let other = folder.path().join("other.db");
        fs::write(&other, content.repeat(500)).unwrap();
        mv(&other, &path);
        becomes(&server, &issued, UNAVAILABLE).await;
        let mut error = refused(&store, &issued);
        for _ in 0..2_000 {
            if error.kind() == kind {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            error = refused(&store, &issued);
        }
        assert_eq!(error.kind(), kind);
        assert_eq!(advice(&error, &path), due);
    }
    mv(&kept, &path);
    becomes(&server, &issued, Ok(())).await;
}
