//! The program `tower-api-key`, as a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod audit;
mod batch;
mod commands;
mod copies;
mod copy;
mod fleet;
mod help;
mod histories;
mod lists;
mod mistakes;
mod moved;
mod pasted;
mod prefixes;
mod rotations;
mod secrets;
mod servers;
mod terminal;
mod times;
mod tty;
#[cfg(unix)]
mod write_protected;

use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use regex::Regex;

use tower_api_key_test_support::folder::Folder;

/// A shell with its own store.
struct Shell {
    folder: Folder,
    store: String,
}

/// The output and the exit code of a command.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Shell {
    /// With an empty SQLite store.
    fn new() -> Self {
        let shell = Self::without_store();
        let migrated = shell.run(&["migrate"]);
        assert_eq!(migrated, ran(0, "the store is ready\n", ""));
        shell
    }

    /// With the name of a SQLite store that does not exist.
    fn without_store() -> Self {
        let folder = Folder::new();
        let store = format!("sqlite:{}", folder.path().join("keys.db").display());
        Self { folder, store }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(tower_api_key_test_support::process::program());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TOWER_API_KEY_STORE", &self.store)
            .env("TOWER_API_KEY_PREFIX", "acme")
            .env("TOWER_API_KEY_REALM", "orders")
            .env("TOWER_API_KEY_ACTOR", "ops@example.com")
            .env_remove("NO_COLOR")
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs a command that reads this line from standard input.
    #[track_caller]
    fn feed(&self, line: &str, arguments: &[&str]) -> Ran {
        self.paste(format!("{line}\n").as_bytes(), arguments)
    }

    /// Runs a command that reads these bytes from standard input.
    #[track_caller]
    fn paste(&self, bytes: &[u8], arguments: &[&str]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let written = child.stdin.take().unwrap().write_all(bytes);
        // If a command refuses its arguments, it reads nothing.
        assert!(written.is_ok() || written.unwrap_err().kind() == ErrorKind::BrokenPipe);
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Runs a shell line as a user types it.
    fn type_in(&self, line: &str) -> Ran {
        let program = &tower_api_key_test_support::process::program();
        let folder = program.parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap();
        let mut command = self.command(&[]);
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(self.folder.path())
            .envs(environment)
            .env("PATH", format!("{folder}:{path}"));
        Ran::of(command.output().unwrap())
    }

    /// Mints a key, and returns its plaintext and its id.
    #[track_caller]
    fn mint(&self, arguments: &[&str]) -> (String, String) {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        let key = ran.stdout.strip_suffix('\n').expect("a line").to_owned();
        assert!(!key.contains('\n'), "{key}");
        let id = key.split('_').nth(1).unwrap().to_owned();
        (key, id)
    }

    /// Whether the key is accepted, in the words of `check`.
    #[track_caller]
    fn verdict(&self, key: &str) -> String {
        let ran = self.feed(key, &["check", "--json"]);
        let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let accepted = value["accepted"].as_bool().unwrap();
        assert_eq!(ran.code, i32::from(!accepted), "{ran:?}");
        value["cause"].as_str().unwrap_or("accepted").to_owned()
    }
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// With `TIME` for each moment, and these names for ids.
    fn named(mut self, ids: &[(&str, &str)]) -> Self {
        for text in [&mut self.stdout, &mut self.stderr] {
            *text = named(text, ids);
        }
        self
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn named(text: &str, ids: &[(&str, &str)]) -> String {
    let moment = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap();
    let mut text = moment.replace_all(text, "TIME").into_owned();
    for (id, name) in ids {
        text = text.replace(id, name);
    }
    text
}

fn ran(code: i32, stdout: &str, stderr: &str) -> Ran {
    Ran {
        code,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }
}

/// The output of a command that fails: one line.
fn failed(code: i32, line: &str) -> Ran {
    ran(code, "", &format!("tower-api-key: {line}\n"))
}
