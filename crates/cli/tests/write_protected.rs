//! `list`, `show` and `check` on a SQLite store that cannot be written to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use super::{Ran, Shell};

/// The program as a user who owns nothing, if the tests may become one.
struct Stranger<'a>(&'a Shell);

impl<'a> Stranger<'a> {
    const SETPRIV: [&'static str; 5] = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];

    fn new(shell: &'a Shell) -> Option<Self> {
        let stranger = Self(shell);
        let folder = shell.folder.path();
        // The program and the folder, which strangers may read.
        let program = folder.join("tower-api-key");
        fs::copy(tower_api_key_test_support::process::program(), &program).unwrap();
        mode(&program, 0o755);
        mode(folder, 0o755);
        fs::create_dir(folder.join("tmp")).unwrap();
        mode(&folder.join("tmp"), 0o777);
        let may = Command::new("setpriv")
            .args(Self::SETPRIV)
            .args([&program, Path::new("--version")])
            .output();
        let may = may.is_ok_and(|output| output.status.success());
        if !may {
            tower_api_key_test_support::support::not_run(format_args!(
                "a store that cannot be written to: the tests cannot become another user"
            ));
            return None;
        }
        Some(stranger)
    }

    fn run(&self, arguments: &[&str], input: &str) -> Ran {
        let shell = self.0;
        let mut line = Command::new("sh");
        let known = shell.command(&[]);
        for (name, value) in known.get_envs() {
            if let Some(value) = value {
                line.env(name, value);
            }
        }
        let folder = shell.folder.path();
        line.current_dir(folder)
            .args(["-c", "printf '%s\\n' \"$INPUT\" | setpriv \"$@\"", "sh"])
            .env("INPUT", input)
            .env("TMPDIR", folder.join("tmp"))
            .args(Self::SETPRIV)
            .arg(folder.join("tower-api-key"))
            .args(arguments);
        Ran::of(line.output().unwrap())
    }

    /// Each command that reads shows the key and leaves the folder as it is.
    #[track_caller]
    fn assert_reads(&self, key: &str, state: &str) {
        let before = names(self.0.folder.path());
        let id = &key[5..17];
        let listed = self.run(&["list", "--json"], "");
        assert_eq!(listed.code, 0, "{listed:?}");
        assert_eq!(listed.json()[0]["id"], id);
        assert_eq!(listed.json()[0]["state"], state);
        let shown = self.run(&["show", "-", "--json"], key);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert_eq!(shown.json()["state"], state);
        let checked = self.run(&["check", "--json"], key);
        assert_eq!(checked.code, i32::from(state != "live"), "{checked:?}");
        assert_eq!(checked.json()["record"]["state"], state);
        assert_eq!(names(self.0.folder.path()), before);
        let copies = fs::read_dir(self.0.folder.path().join("tmp")).unwrap();
        assert_eq!(copies.count(), 0, "a copy is left");
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("keys.db")).collect();
    names.sort();
    names
}

const REFUSED: &str = "the file is write-protected; make it writable for this user, or open it to \
                       read only\n";

/// The library's error for a store that it cannot read because the folder is not writable.
const NO_INDEX: &str = "the index of its log (-shm) is not there and cannot be made, because the file \
                        or its folder is write-protected; let a process that may write have the store \
                        open, or copy the file and its log (-wal) into a folder of your own and open the \
                        copy\n";

#[test]
fn a_store_that_cannot_be_written_to_is_read_and_nothing_is_left_beside_it() {
    let shell = Shell::new();
    let Some(stranger) = Stranger::new(&shell) else {
        return;
    };
    let path = shell.folder.keys();
    let (key, id) = shell.mint(&["issue", "--subject", "alice"]);
    mode(&path, 0o644);
    assert_eq!(names(shell.folder.path()), ["keys.db"]);
    // The folder too, and then the file alone: an index that the stranger owns would lock the owner out.
    for folder in [0o755, 0o777] {
        mode(shell.folder.path(), folder);
        stranger.assert_reads(&key, "live");
        if folder == 0o755 {
            let copied = stranger.run(&["backup", "tmp/copy.db"], "");
            assert_eq!(copied.code, 5, "{copied:?}");
            assert!(copied.stderr.ends_with(NO_INDEX), "{copied:?}");
        }
        let revoked = stranger.run(&["revoke", &id], "");
        assert_eq!(revoked.code, 5, "{revoked:?}");
        assert!(revoked.stderr.ends_with(REFUSED), "{revoked:?}");
        assert_eq!(names(shell.folder.path()), ["keys.db"]);
    }
    mode(shell.folder.path(), 0o755);

    // While another process writes, and its changes are only in the log.
    let writer = Connection::open(&path).unwrap();
    writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let revoke = "UPDATE api_keys SET revoked_at = 1, revocation_reason = 'key_compromise', \
                  version = version + 1";
    assert_eq!(writer.execute(revoke, []).unwrap(), 1);
    assert_eq!(names(shell.folder.path()).len(), 3);
    stranger.assert_reads(&key, "revoked");

    // The state after a writer was killed: a log without its index, as in a copy of the two files.
    let log = shell.folder.path().join("keys.db-wal");
    let (main, log_of_writer) = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    drop(writer);
    fs::write(&path, main).unwrap();
    fs::write(&log, log_of_writer).unwrap();
    mode(&log, 0o644);
    assert_eq!(names(shell.folder.path()), ["keys.db", "keys.db-wal"]);
    stranger.assert_reads(&key, "revoked");
}

#[test]
fn a_store_that_others_may_not_read_says_what_is_missing() {
    let shell = Shell::new();
    let Some(stranger) = Stranger::new(&shell) else {
        return;
    };
    let path = shell.folder.keys();
    shell.mint(&["issue", "--subject", "alice"]);
    let listed = stranger.run(&["list"], "");
    assert_eq!((listed.code, listed.stdout.as_str()), (5, ""), "{listed:?}");
    let line = format!(
        "cannot read {}: Permission denied (os error 13)\n",
        path.display()
    );
    assert!(listed.stderr.ends_with(&line), "{listed:?}");
    mode(&path, 0o644);
    let writer = Connection::open(&path).unwrap();
    writer
        .query_row("SELECT count(*) FROM api_keys", [], |_| Ok(()))
        .unwrap();
    mode(&shell.folder.path().join("keys.db-shm"), 0o600);
    let listed = stranger.run(&["list"], "");
    assert_eq!((listed.code, listed.stdout.as_str()), (5, ""), "{listed:?}");
    let advice = "to list, show and check, a user must be able to read the file, its log (-wal) \
                  and the index of the log (-shm)\n";
    assert!(listed.stderr.ends_with(advice), "{listed:?}");
}
