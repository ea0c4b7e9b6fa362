//! Programs that a test starts: the examples, and clients that are not written in Rust.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Takes longer for one line only if the program hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running program, which is killed when the test ends in any way.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// The output and the status of a program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// The lines of standard output that have not been read.
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Running {
    pub fn start(example: &str, arguments: &[&str], port: u16) -> Self {
        let mut command = command(example, port);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Pastes a command that an example printed, and does not wait for its end.
    pub fn paste(command: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]);
        Self::spawn(shell)
    }

    /// Starts the tests' own program again, for one of its tests that is ignored otherwise.
    pub fn again<'a>(
        test: &str,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::again_through(&[], test, environment)
    }

    /// Like [`again`](Self::again), by a command that takes the program with its arguments as its last ones, and
    /// becomes it.
    pub fn again_through<'a>(
        through: &[&str],
        test: &str,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let tests = env::current_exe().unwrap();
        let mut command = match through {
            [] => Command::new(tests),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(tests);
                command
            }
        };
        command
            .args([test, "--exact", "--ignored", "--nocapture"])
            .envs(environment);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let lines = lines_of(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Starts an example that serves, on a free port, and reads its URL from its first line.
    pub fn serve(example: &str, arguments: &[&str]) -> (Self, String) {
        Self::serving(example, Self::start(example, arguments, 0))
    }

    /// Like [`serve`](Self::serve), with its keys in this file.
    pub fn serve_keys_of(example: &str, keys: &Path) -> (Self, String) {
        let mut command = command(example, 0);
        command.env("KEYS_DB", keys);
        Self::serving(example, Self::spawn(command))
    }

    /// Like [`serve`](Self::serve), with a database.
    pub fn serve_database(example: &str, url: &str) -> (Self, String) {
        let mut command = command(example, 0);
        command.env("DATABASE_URL", url);
        Self::serving(example, Self::spawn(command))
    }

    /// Like [`serve`](Self::serve), with variables of the environment.
    pub fn serve_with<'a>(
        example: &str,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Self, String) {
        let mut command = command(example, 0);
        command.args(arguments).envs(environment);
        Self::serving(example, Self::spawn(command))
    }

    /// Starts the program of an example that cannot serve the keys of this file, and waits for its
    /// end.
    pub fn fail_on_keys_of(
        program: &Path,
        keys: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> Ended {
        let mut command = command_of(program, 0);
        command.env("KEYS_DB", keys);
        prepare(&mut command);
        Self::spawn(command).end()
    }

    fn serving(example: &str, running: Self) -> (Self, String) {
        let Some(line) = running.next_line() else {
            panic!("{example} serves nothing: {:?}", running.end());
        };
        let url = line
            .strip_prefix("listening on ")
            .and_then(|rest| rest.strip_suffix("; Ctrl-C ends it"))
            .unwrap_or_else(|| panic!("the first line of {example} is {line:?}"));
        assert!(url.starts_with("http://127.0.0.1:"), "{example}: {url}");
        (running, url.to_owned())
    }

    /// The next lines of standard output that show a command, up to this number, without their labels.
    pub fn commands(&self, first_word: &str, count: usize) -> Vec<String> {
        let mut commands = Vec::with_capacity(count);
        while commands.len() < count {
            let line = self.next_line().expect("a line for each command");
            if let Some(start) = line.find(first_word) {
                commands.push(line[start..].to_owned());
            }
        }
        commands
    }

    /// Presses Ctrl-C, and asserts that the example ends well and left no request behind.
    #[track_caller]
    pub fn interrupt(self) {
        self.signal("INT");
        let ended = self.end();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let gave_up = ended.stdout.iter().any(|line| line.contains("did not end"));
        assert!(!gave_up, "{ended:?}");
    }

    /// The number of the process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Stops it with SIGSTOP, and waits until each of its threads stands still. Needs Linux.
    #[track_caller]
    pub fn halt(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.child.id());
        let stands = |task: PathBuf| {
            // The state comes after the name, which may have any character.
            let state = std::fs::read_to_string(task.join("stat"));
            state.is_ok_and(|state| state.rsplit_once(") ").unwrap().1.starts_with('T'))
        };
        for _ in 0..6_000 {
            let mut tasks = std::fs::read_dir(&tasks).unwrap();
            if tasks.all(|task| stands(task.unwrap().path())) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not stop");
    }

    /// Lets it go on after [`halt`](Self::halt).
    #[track_caller]
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Sends it a signal by its name, as `STOP`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let kill = run(
            "kill",
            [format!("-{name}").as_str(), &self.child.id().to_string()],
        );
        assert!(kill.status.success(), "{kill:?}");
    }

    /// Kills it with SIGKILL, and returns its output until then.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits until the example has ended by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let stdout = std::iter::from_fn(|| self.next_line()).collect();
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        Ended {
            status: self.child.wait().unwrap(),
            stdout,
            stderr,
        }
    }

    /// Asserts that it ends by itself within this time.
    #[track_caller]
    pub fn end_within(self, time: Duration) -> Ended {
        self.ended_within(time)
            .unwrap_or_else(|| panic!("it did not end within {time:?}"))
    }

    /// Its output and status, if it ends by itself within this time.
    pub fn ended_within(self, time: Duration) -> Option<Ended> {
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(self.end()));
        receiver.recv_timeout(time).ok()
    }

    /// The next line of standard output, `None` once it is closed.
    #[track_caller]
    pub fn next_line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it neither speaks nor ends"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A thread reads the lines, so that a test can stop waiting for one.
fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // The lines are no longer read, but the pipe stays open, so that the example can continue.
            let _ = sender.send(line);
        }
    });
    receiver
}

fn command(example: &str, port: u16) -> Command {
    command_of(&path_of(example), port)
}

fn command_of(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.env("PORT", port.to_string()).env_remove("KEYS_DB");
    command
}

/// The program `tower-api-key`, which cargo builds for the tests of its own package.
pub fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join(format!("tower-api-key{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing; `cargo build --all-features` makes it, with the profile of this test",
        path.display()
    );
    path
}

/// The folder where cargo puts the examples, next to that of the test's own program.
pub fn path_of(example: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile
        .join("examples")
        .join(format!("{example}{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing; `cargo build --workspace --examples --all-features` makes it, with the profile of \
         this test",
        path.display()
    );
    path
}

/// Runs a program to its end.
#[track_caller]
pub fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> Output {
    match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("this test needs `{program}`, which is not installed")
        }
        Err(error) => panic!("cannot run `{program}`: {error}"),
    }
}

/// The keys in the commands that an example printed, each once.
pub fn keys_in(commands: &[String]) -> Vec<&str> {
    let mut keys = Vec::new();
    for command in commands {
        if let Some((_, rest)) = command.split_once("'x-api-key: ")
            && let Some((key, _)) = rest.split_once('\'')
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }
    keys
}
