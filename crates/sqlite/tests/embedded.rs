//! The example embedded: the quickstart with its keys in a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use tower_api_key::store::ListQuery;
use tower_api_key::{KeyRing, RevocationReason};
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::process::{Running, keys_in, path_of, run};

fn status(url: &str, key: &str) -> String {
    let header = format!("x-api-key: {key}");
    let arguments = [
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        &header,
        url,
    ];
    let output = run("curl", arguments);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn invariant_8_keys_outlive_quickstart_and_a_revocation_by_another_process_is_seen_at_once() {
    let folder = Folder::new();
    let (running, url) = Running::serve_keys_of("embedded", &folder.keys());
    let commands = running.commands("curl", 8);
    let [read, "nonsense", write] = keys_in(&commands)[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(status(&format!("{url}/public"), read), "200");
    running.interrupt();

    let (running, url) = Running::serve_keys_of("embedded", &folder.keys());
    assert_eq!(running.next_line().as_deref(), Some(""));
    assert_eq!(
        running.next_line().as_deref(),
        Some("The store holds keys that were shown when they were issued: put them in.")
    );
    let again = running.commands("curl", 8);
    assert_eq!(
        keys_in(&again),
        ["<the key of alice>", "nonsense", "<the key of bob>"]
    );
    let public = format!("{url}/public");
    assert_eq!(status(&public, read), "200");
    assert_eq!(status(&public, write), "200");

    // Another process: this one.
    let store = SqliteStore::open_existing(folder.keys()).unwrap();
    let ring = KeyRing::builder("demo").build(store).unwrap();
    let alice = ring.list(&ListQuery::new().subject("alice")).await.unwrap();
    let [alice] = &alice[..] else {
        panic!("{alice:?}");
    };
    ring.revoke(alice.id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    assert_eq!(status(&public, read), "401");
    assert_eq!(status(&public, write), "200");
    running.interrupt();

    // A subject whose key is gone gets a new one. The other keeps its key.
    let (running, url) = Running::serve_keys_of("embedded", &folder.keys());
    let commands = running.commands("curl", 8);
    let [new, "nonsense", "<the key of bob>"] = keys_in(&commands)[..] else {
        panic!("{commands:?}");
    };
    assert!(new.starts_with("demo_") && new != read, "{new}");
    assert_eq!(status(&format!("{url}/public"), new), "200");
    assert_eq!(status(&format!("{url}/public"), read), "401");
    running.interrupt();
}

#[track_caller]
fn fails_with(folder: &Folder, program: &Path, prepare: impl FnOnce(&mut Command), advice: &str) {
    let keys = folder.keys();
    let ended = Running::fail_on_keys_of(program, &keys, prepare);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, Vec::<String>::new());
    let expected = format!("Error: \"{}: {advice}\"\n", keys.display());
    assert_eq!(ended.stderr, expected);
}

#[test]
fn a_file_that_does_not_serve_is_told_in_a_line() {
    let (folder, program) = (Folder::new(), path_of("embedded"));
    fs::write(folder.keys(), "no database".repeat(100)).unwrap();
    fails_with(
        &folder,
        &program,
        |_| {},
        "this is not a SQLite database; name another file, or restore it from a backup",
    );
    fs::remove_file(folder.keys()).unwrap();
    drop(SqliteStore::open(folder.keys()).unwrap());
    Connection::open(folder.keys())
        .unwrap()
        .execute_batch("PRAGMA user_version = 13")
        .unwrap();
    fails_with(
        &folder,
        &program,
        |_| {},
        "its schema has version 13, and this crate reads versions up to 12; upgrade tower-api-key",
    );
}

#[cfg(unix)]
#[test]
fn a_write_protected_file_and_folder_are_told_in_a_line() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let folder = Folder::new();
    let protect =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // File modes do not restrict root, so the example runs as the user `nobody` then.
    let root = fs::metadata(folder.path()).unwrap().uid() == 0;
    let unprivileged = |command: &mut Command| {
        if root {
            command.uid(65_534).gid(65_534);
        }
    };
    // That user may have no access to the folder of the build. Another process writes the copy: if
    // this one did, a program that another test starts at that moment would hold it open.
    let (built, program) = (path_of("embedded"), folder.path().join("embedded"));
    let [from, to] = [&built, &program].map(|path| path.to_str().unwrap());
    assert!(run("cp", [from, to]).status.success());
    protect(&program, 0o755);
    protect(folder.path(), 0o555);
    fails_with(
        &folder,
        &program,
        unprivileged,
        "its directory is write-protected; make it writable for this user",
    );
    protect(folder.path(), 0o777);
    drop(SqliteStore::open(folder.keys()).unwrap());
    protect(&folder.keys(), 0o444);
    fails_with(
        &folder,
        &program,
        unprivileged,
        "the file is write-protected; make it writable for this user, or open it to read only",
    );
}
