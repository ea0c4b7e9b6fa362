//! Another history: a file that was restored, replaced or changed without the log.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::Grant;
use tower_api_key::replica::Feed;
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key_sqlite::SqliteStore;

use super::{Copy, Pulled};
use crate::backups::settled;
use crate::server::{every, mv, opens, revoke, server, vacuum};
use crate::sharing::ring_over;
use crate::{PATIENCE, advice};
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::sqlite::unguarded;
use tower_api_key_test_support::support::not_run;

/// The first answer that is no error. The store opens a file that has replaced its own by itself.
async fn answered(copy: &mut Copy) -> Pulled {
    let mut last = None;
    for _ in 0..PATIENCE.as_millis() / 5 {
        match copy.try_pull().await {
            Ok(pulled) => return pulled,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it is an error for ever: {last:?}");
}

/// Also for a copy that has read no further than the backup goes.
#[tokio::test]
async fn r22_a_restored_backup_is_another_history() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, ring) = server(&path);
    let before = ring.issue(Grant::new("alice")).await.unwrap();
    let mut behind = Copy::of(&store).await;
    let backup = folder.fresh();
    store.backup(&backup).await.unwrap();
    let later = ring.issue(Grant::new("bob")).await.unwrap();
    let mut ahead = Copy::of(&store).await;
    revoke(&ring, &before).await;
    SqliteStore::restore(&backup).into(&path).unwrap();
    assert_eq!(answered(&mut ahead).await, Pulled::Lost);
    assert_eq!(answered(&mut behind).await, Pulled::Lost);
    let copy = Copy::of(&store).await;
    assert_eq!(copy.get(later.record().digest()), None);
    assert!(!copy.is_live(before.record().digest()));
}

/// The pull itself compares the files: the store looks for itself only once a second.
#[tokio::test]
async fn r22_a_pull_from_a_file_that_is_no_longer_at_the_path_is_an_error() {
    let folder = Folder::new();
    let path = folder.keys();
    let options = SqliteStore::options().check_interval(Duration::from_secs(1));
    let store = options.open(&path).unwrap();
    let ring = ring_over(store.clone());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    let other = folder.fresh();
    vacuum(&path, &other);
    mv(&other, &path);
    let error: StoreError = copy.try_pull().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        advice(&error, &path).starts_with("the file at this path is not the one that was opened")
    );
    assert!(store.page(&copy.realms, None).await.is_err());
    revoke(&opens(&path).await, &issued).await;
    while copy.is_live(issued.record().digest()) {
        if answered(&mut copy).await == Pulled::Lost {
            copy = Copy::of(&store).await;
        }
    }
}

/// It has the same inode and the same schema, its numbers go on from those of the copy, and SQLite has the old pages
/// in memory. A replica asks for the pages that are in the file.
#[tokio::test]
async fn r22_a_file_that_is_copied_over_is_another_history() {
    let folder = Folder::new();
    let path = folder.keys();
    let (_, ring) = server(&path);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    drop(ring);
    let other = folder.fresh();
    fs::copy(&path, &other).unwrap();
    let writing = Connection::open(&other).unwrap();
    for _ in 0..3 {
        writing
            .execute("UPDATE api_keys SET version = version + 1", [])
            .unwrap();
    }
    writing.close().unwrap();
    let (store, ring) = every(&path, Duration::from_secs(1));
    ring.issue(Grant::new("bob")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    settled(&path).await;
    assert_eq!(copy.pull().await, Pulled::Since(0));
    let status = Command::new("cp").args([&other, &path]).status().unwrap();
    assert!(status.success());
    assert_eq!(copy.pull().await, Pulled::Lost);
    let copy = Copy::of(&store).await;
    assert_eq!(copy.get(issued.record().digest()).unwrap().version(), 4);
    assert_eq!(copy.records.len(), 1);
}

/// As the backup interface of SQLite does it: page by page, through its locks.
#[tokio::test]
async fn r22_content_that_sqlite_restores_in_place_is_another_history() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, ring) = server(&path);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let old = folder.fresh();
    store.backup(&old).await.unwrap();
    // The backup is ahead of the copy in numbers.
    let other = Connection::open(&old).unwrap();
    for _ in 0..3 {
        other
            .execute("UPDATE api_keys SET version = version + 1", [])
            .unwrap();
    }
    other.close().unwrap();
    ring.issue(Grant::new("bob")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    let restore =
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))";
    let python = Command::new("python3")
        .args(["-c", restore])
        .args([&old, &path])
        .output();
    match python {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => return not_run(format_args!("python3: {error}")),
    }
    assert_eq!(answered(&mut copy).await, Pulled::Lost);
    let copy = Copy::of(&store).await;
    assert_eq!(copy.get(issued.record().digest()).unwrap().version(), 4);
    assert_eq!(copy.records.len(), 1);
}

/// With its triggers taken away and put back, the log does not have what was done in between.
#[tokio::test]
async fn r22_what_is_done_without_the_triggers_begins_another_history() {
    let folder = Folder::new();
    let (store, ring) = server(&folder.keys());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    let other = Connection::open(folder.keys()).unwrap();
    unguarded(&other, || {
        other.execute("DELETE FROM api_keys", []).unwrap();
    });
    assert_eq!(copy.pull().await, Pulled::Lost);
    let copy = Copy::of(&store).await;
    assert!(!copy.is_live(issued.record().digest()));
}

/// Old changes go in steps. The newest 100 000 stay, and the place from which the caller reads.
#[tokio::test]
async fn r22_a_reader_from_before_the_oldest_change_begins_anew() {
    let folder = Folder::new();
    let (store, ring) = server(&folder.keys());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let (early, mut stuck) = (Copy::of(&store).await, Copy::of(&store).await);
    let other = Connection::open(folder.keys()).unwrap();
    let fill =
        "WITH RECURSIVE number (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < ?1)
        INSERT INTO api_key_changes (token, digest) SELECT random(), zeroblob(32) FROM number";
    other.execute(fill, [12_000]).unwrap();
    let middle = Copy::of(&store).await;
    other.execute(fill, [100_000]).unwrap();
    let mut late = Copy::of(&store).await;
    let changes = || -> (i64, i64) {
        let count = "SELECT min(seq), max(seq) FROM api_key_changes";
        other
            .query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    // The first row, and that of the key.
    assert_eq!(changes(), (1, 112_002));
    store.forget(&early.position).await.unwrap();
    assert_eq!(changes(), (2, 112_002));
    store.forget(&middle.position).await.unwrap();
    assert_eq!(changes(), (12_002, 112_002));
    store.forget(&late.position).await.unwrap();
    assert_eq!(changes(), (12_003, 112_002));

    assert_eq!(stuck.pull().await, Pulled::Lost);
    revoke(&ring, &issued).await;
    assert_eq!(late.pull().await, Pulled::Since(1));
    assert!(!late.is_live(issued.record().digest()));
}
