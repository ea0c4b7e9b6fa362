//! Copies of a store, and its log, while a server has it open and the program works on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tower_api_key::{Grant, InvalidCause, Issued, KeyRing, VerifyErrorKind};
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::process::program;

const REVOKED: Result<(), VerifyErrorKind> = Err(VerifyErrorKind::Invalid(InvalidCause::Revoked));

/// How often the state is looked at, every 5 ms, until a wait has no end.
const LOOKS: u32 = 6_000;
const LOOK: Duration = Duration::from_millis(5);

fn ring_over(store: SqliteStore) -> KeyRing {
    let ring = KeyRing::builder("acme").realm("orders");
    ring.build(store).unwrap()
}

/// A server that checks its files at this interval.
fn server(path: &Path, interval: Duration) -> KeyRing {
    let options = SqliteStore::options().check_interval(interval);
    ring_over(options.open(path).unwrap())
}

async fn verdict(ring: &KeyRing, issued: &Issued) -> Result<(), VerifyErrorKind> {
    let verified = ring.verify(issued.secret().expose().as_bytes()).await;
    verified.map(drop).map_err(|error| error.kind())
}

/// Waits until the server refuses a revoked key.
async fn becomes_revoked(ring: &KeyRing, issued: &Issued) {
    for _ in 0..LOOKS {
        if verdict(ring, issued).await == REVOKED {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("it is {:?} for ever", verdict(ring, issued).await);
}

/// Opens the file as soon as no store of this process holds a deleted log.
async fn opens(path: &Path) -> KeyRing {
    for _ in 0..LOOKS {
        if let Ok(store) = SqliteStore::open_existing(path) {
            return ring_over(store);
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("the file cannot be opened");
}

/// Waits until the log has been copied into the file.
async fn settled(path: &Path) {
    let log = beside(path, "-wal");
    for _ in 0..LOOKS {
        if fs::metadata(&log).is_ok_and(|log| log.len() == 0) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("the log is never brought into the file");
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

/// Runs the command line on this file.
#[track_caller]
fn shell(path: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program())
        .args(arguments)
        .env("TOWER_API_KEY_STORE", format!("sqlite:{}", path.display()))
        .env("TOWER_API_KEY_PREFIX", "acme")
        .env("TOWER_API_KEY_REALM", "orders")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn r32_a_copy_of_the_file_holds_what_the_command_line_revoked() {
    let folder = Folder::new();
    let path = folder.keys();
    let server = server(&path, LOOK);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    shell(&path, &["revoke", issued.record().id().as_str()]);
    let copy = folder.fresh();
    // In another process, so that no lock of this one ends.
    let cp = Command::new("cp").arg(&path).arg(&copy).status().unwrap();
    assert!(cp.success());
    let copied = verdict(&ring_over(SqliteStore::open(&copy).unwrap()), &issued).await;
    assert_eq!(copied, verdict(&server, &issued).await);
    assert!(copied.is_err());
}

#[tokio::test]
async fn the_command_line_copies_and_restores() {
    let folder = Folder::new();
    let path = folder.keys();
    let server = server(&path, LOOK);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let copy = folder.fresh();
    let name = copy.to_str().unwrap();
    assert_eq!(
        shell(&path, &["backup", name]),
        format!("the store is copied to {name}\n")
    );
    shell(&path, &["revoke", issued.record().id().as_str()]);
    assert_eq!(
        shell(&path, &["restore", name]),
        "1 keys restored, 1 of them with less authority than in the backup\n"
    );
    assert_eq!(verdict(&opens(&path).await, &issued).await, REVOKED);
    becomes_revoked(&server, &issued).await;
    for (store, line) in [
        (
            "postgres://localhost/none",
            "backup and restore need a SQLite store; for Postgres, use copy, or pg_dump and \
             pg_restore",
        ),
        (
            "file:keys.toml",
            "backup and restore need a SQLite store; copy a keys file like any other file",
        ),
    ] {
        for command in ["backup", "restore"] {
            let output = Command::new(program())
                .args([command, name, "--store", store])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2));
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(text, format!("tower-api-key: {line}\n"));
        }
    }
}
/// Another process opens the file with a new log before the server has checked. (In this process it
/// would share the index of the old one.)
#[tokio::test]
async fn r22_a_revocation_in_a_new_log_reaches_a_server_that_holds_the_deleted_one() {
    let folder = Folder::new();
    let path = folder.keys();
    let server = server(&path, Duration::from_millis(300));
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    settled(&path).await;
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&path, suffix)).unwrap();
    }
    shell(&path, &["revoke", issued.record().id().as_str()]);
    becomes_revoked(&server, &issued).await;
    assert_eq!(verdict(&opens(&path).await, &issued).await, REVOKED);
}
