//! A file that is mounted by itself, as with `docker -v keys.db:/data/keys.db`.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tower_api_key::Grant;
use tower_api_key::store::StoreErrorKind;
use tower_api_key_sqlite::SqliteStore;

use super::advice;
use super::server::{server, verdict};
use super::sharing::ring;
use tower_api_key_test_support::folder::Folder;

const FOLDER: &str = "MOUNTED_FOLDER";
const REFUSED: &str = "the file is a mount of its own, so its write-ahead log is not the one that \
                       others use; mount its folder, not the file";

#[test]
fn r22_a_file_that_is_mounted_by_itself_is_refused() {
    let folder = Folder::new();
    let unshared = |unshare: &[&str], then: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(unshare)
            .args(["sh", "-c"])
            .arg(
                "cd \"$MOUNTED_FOLDER\" && mkdir -p 'a folder' && touch file 'a folder/keys.db' \
                 && mount --bind file 'a folder/keys.db' && umount 'a folder/keys.db' \
                 && exec \"$@\"",
            )
            .arg("sh")
            .args(then)
            .env(FOLDER, folder.path());
        command.output()
    };
    let may =
        |unshare: &[&str]| unshared(unshare, &["true"]).is_ok_and(|output| output.status.success());
    let Some(unshare) = [["-m"], ["-rm"]].into_iter().find(|unshare| may(unshare)) else {
        tower_api_key_test_support::support::not_run(format_args!(
            "a file that is mounted by itself: nothing can be mounted here"
        ));
        return;
    };
    let program = env::current_exe().unwrap();
    let child = "mounted::beside_a_mount";
    let program = program.to_str().unwrap();
    let output = unshared(&unshare, &[program, child, "--exact", "--ignored"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{output:?}");
}

#[tokio::test]
#[ignore = "a process of its own, which another test starts where it may mount"]
async fn beside_a_mount() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let (path, mounted) = (folder.join("keys.db"), folder.join("a folder/keys.db"));
    let (_, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let bind = |from: &PathBuf, to: &PathBuf| {
        let status = Command::new("mount")
            .arg("--bind")
            .args([from, to])
            .status();
        assert!(status.unwrap().success());
    };
    bind(&path, &mounted);
    for error in [
        SqliteStore::open(&mounted).unwrap_err(),
        SqliteStore::open_existing(&mounted).unwrap_err(),
        SqliteStore::open_read_only(&mounted).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(advice(&error, &mounted), REFUSED);
    }
    assert_eq!(verdict(&server, &issued).await, Ok(()));

    // The folder, as recommended.
    let whole = folder.join("whole");
    std::fs::create_dir(&whole).unwrap();
    bind(&folder, &whole);
    let through = ring(&whole.join("keys.db"));
    let reason = tower_api_key::RevocationReason::KeyCompromise;
    through.revoke(issued.record().id(), reason).await.unwrap();
    assert!(verdict(&server, &issued).await.is_err());

    // A file that is mounted over the open one is another file.
    let other = folder.join("other.db");
    drop(ring(&other));
    bind(&other, &path);
    for _ in 0..6_000 {
        let found = server.get(issued.record().id()).await;
        if let Err(error) = found {
            let source = std::error::Error::source(&error).unwrap();
            let source = source.downcast_ref().unwrap();
            if advice(source, &path) == REFUSED {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the server never sees the mount");
}
