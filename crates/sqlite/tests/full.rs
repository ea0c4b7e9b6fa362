//! A file system that is really full: a small one in memory, which only a separate process sees.

use std::env;
use std::fs;
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use tower_api_key::store::{ListQuery, StoreError, StoreErrorKind};
use tower_api_key::{Error, ErrorKind, Grant, Issued, KeyId, KeyRing, RevocationReason};
use tower_api_key_sqlite::SqliteStore;

use super::advice;
use super::sharing::ring;
use tower_api_key_test_support::folder::Folder;

const DISK: &str = "FULL_DISK";
const FULL: &str = "the disk is full, so nothing was changed; free some space";

#[test]
fn a_disk_that_is_full_is_told_and_loses_nothing_and_room_is_enough_to_go_on() {
    let folder = Folder::new();
    let mounted = |unshare: &[&str], then: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(unshare)
            .args(["sh", "-c"])
            .arg("mount -t tmpfs -o size=2100k none \"$FULL_DISK\" && exec \"$@\"")
            .arg("sh")
            .args(then)
            .env(DISK, folder.path());
        command.output()
    };
    let may =
        |unshare: &[&str]| mounted(unshare, &["true"]).is_ok_and(|output| output.status.success());
    let Some(unshare) = [["-m"], ["-rm"]].into_iter().find(|unshare| may(unshare)) else {
        tower_api_key_test_support::support::not_run(format_args!(
            "no file system can be mounted here, not even by `unshare -rm`"
        ));
        return;
    };
    let program = env::current_exe().unwrap();
    let child = "full::on_a_small_disk";
    let program = program.to_str().unwrap();
    let output = mounted(&unshare, &[program, child, "--exact", "--ignored"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{output:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
#[ignore = "a process of its own, which another test starts on a small disk"]
async fn on_a_small_disk() {
    let Some(disk) = env::var_os(DISK).map(PathBuf::from) else {
        return;
    };
    let (path, ballast) = (disk.join("keys.db"), disk.join("ballast"));
    fs::write(&ballast, vec![0; 520_000]).unwrap();
    let ring = ring(&path);
    let old = disk.join("old.db");
    copy(&path, &old);
    let mut acknowledged = Vec::new();
    let error = loop {
        assert!(acknowledged.len() < 1_000, "the disk is larger than it is");
        match ring.issue(large()).await {
            Ok(issued) => acknowledged.push(issued),
            Err(error) => break error,
        }
    };
    assert!(acknowledged.len() > 10, "{error:?}");
    assert_full(&error, &path);
    // It stays full, and every further change reports it.
    let last = acknowledged.last().unwrap().record().id();
    for _ in 0..5 {
        assert_full(&ring.issue(large()).await.unwrap_err(), &path);
    }
    assert_eq!(held(&ring).await, ids(&acknowledged));
    for issued in &acknowledged {
        let key = ring.verify(issued.secret().expose().as_bytes()).await;
        assert_eq!(key.unwrap().id(), issued.record().id());
    }

    fs::remove_file(&ballast).unwrap();
    opening_finds_no_room(&old, &disk.join("new.db"), &ballast);
    acknowledged.push(ring.issue(large()).await.unwrap());
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(last, reason).await.unwrap();
    assert_eq!(held(&ring).await, ids(&acknowledged));
    drop(ring);

    let again = self::ring(&path);
    assert_eq!(held(&again).await, ids(&acknowledged));
    let record = again.get(last).await.unwrap().unwrap();
    assert_eq!(record.revocation().map(|it| it.reason), Some(reason));
    let verdict: String = Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
}

/// A store that is not open: of its files only the first exists.
#[track_caller]
fn copy(from: &Path, to: &Path) {
    let connection = Connection::open(from).unwrap();
    let into = to.to_str().unwrap();
    connection.execute("VACUUM INTO ?1", [into]).unwrap();
    let connection = Connection::open(to).unwrap();
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    connection.close().unwrap();
    assert!(!Path::new(&format!("{into}-shm")).exists());
}

/// Opening a store needs room for the files that SQLite keeps next to the main file, even if that
/// file exists already.
#[track_caller]
fn opening_finds_no_room(old: &Path, new: &Path, ballast: &Path) {
    fill(ballast);
    for path in [old, new] {
        let error = SqliteStore::open(path).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert_eq!(advice(&error, path), FULL);
    }
    fs::remove_file(ballast).unwrap();
    for path in [old, new] {
        SqliteStore::open(path).unwrap();
    }
}

fn large() -> Grant {
    Grant::new("alice").metadata([("note", "x".repeat(8_000))])
}

async fn held(ring: &KeyRing) -> Vec<KeyId> {
    let records = ring.list(&ListQuery::new()).await.unwrap();
    records.iter().map(|record| record.id()).collect()
}

fn ids(issued: &[Issued]) -> Vec<KeyId> {
    let mut ids: Vec<_> = issued.iter().map(|issued| issued.record().id()).collect();
    ids.sort_unstable();
    ids
}

#[track_caller]
fn assert_full(error: &Error, path: &Path) {
    assert_eq!(error.kind(), ErrorKind::Store, "{error:?}");
    let source = std::error::Error::source(error).unwrap();
    let error = source.downcast_ref::<StoreError>().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert_eq!(advice(error, path), FULL);
}

/// Uses up the remaining space.
fn fill(file: &Path) {
    let mut file = fs::File::create(file).unwrap();
    for _ in 0..1_000_000 {
        if let Err(error) = file.write_all(&[0; 1_024]) {
            assert_eq!(error.kind(), IoErrorKind::StorageFull);
            return;
        }
    }
    panic!("the disk is larger than it is");
}
