//! The log of the file, or its index, is not the open one.

use std::fs;
use std::time::Duration;

use tower_api_key::Grant;
use tower_api_key_sqlite::SqliteStore;

use super::server::{REVOKED, becomes, beside, every, opens, revoke, server, verdict};
use super::sharing::{ring, ring_over};
use super::{PATIENCE, advice};
use tower_api_key_test_support::folder::Folder;

#[tokio::test]
async fn r22_a_log_that_is_deleted_is_seen_and_what_it_held_is_kept() {
    let folder = Folder::new();
    let path = folder.keys();
    for deleted in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let (store, server) = server(&path);
        let issued = server.issue(Grant::new("alice")).await.unwrap();
        let revoked = server.issue(Grant::new("bob")).await.unwrap();
        revoke(&server, &revoked).await;
        for suffix in deleted {
            fs::remove_file(beside(&path, suffix)).unwrap();
        }
        // It has reopened the file when these exist again.
        let mut waited = Duration::ZERO;
        while !deleted.iter().all(|suffix| beside(&path, suffix).exists()) {
            assert!(waited < PATIENCE, "{deleted:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
            waited += Duration::from_millis(5);
        }
        becomes(&server, &issued, Ok(())).await;
        let shell = ring(&path);
        assert_eq!(verdict(&shell, &revoked).await, REVOKED, "{deleted:?}");
        assert_eq!(verdict(&server, &revoked).await, REVOKED, "{deleted:?}");
        revoke(&shell, &issued).await;
        assert_eq!(verdict(&server, &issued).await, REVOKED, "{deleted:?}");
        drop((store, server, shell));
    }
}

/// A new handle in the process that holds deleted files would share their index.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_store_is_not_opened_beside_one_that_holds_a_deleted_log() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, server) = every(&path, Duration::from_secs(1));
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&path, suffix)).unwrap();
    }
    match SqliteStore::open(&path) {
        // The server was faster.
        Ok(store) => assert_eq!(verdict(&ring_over(store), &issued).await, Ok(())),
        Err(error) => assert_eq!(
            advice(&error, &path),
            "this process has the file open with a write-ahead log that was deleted; try again \
             when that store has closed it, within seconds"
        ),
    }
    let shell = opens(&path).await;
    becomes(&server, &issued, Ok(())).await;
    revoke(&shell, &issued).await;
    assert_eq!(verdict(&server, &issued).await, REVOKED);
}

/// A server that has not noticed yet that its file was replaced may remove the log. If a process
/// has just opened the file, its commits must not be in the log alone.
#[tokio::test]
async fn r32_a_revocation_right_after_opening_is_in_the_file_itself() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, server) = every(&path, Duration::from_secs(1));
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let shell = ring(&path);
    revoke(&shell, &issued).await;
    let copy = folder.fresh();
    fs::copy(&path, &copy).unwrap();
    assert_eq!(verdict(&ring(&copy), &issued).await, REVOKED);
}
