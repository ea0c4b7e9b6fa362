//! Standard output, which may be closed.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::text::{is_shown, one_line};

/// Where results go, and in which form.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Tells people on standard error what they may not expect.
    pub(crate) fn warn(self, text: &str) {
        self.say("warning", text);
    }

    /// Tells people on standard error what they may want to know.
    pub(crate) fn note(self, text: &str) {
        self.say("note", text);
    }

    fn say(self, kind: &str, text: &str) {
        let text = one_line(text);
        if self.json {
            tell(&escaped(&format!("{}\n", json!({ kind: text }))));
        } else {
            tell(&format!("tower-api-key: {kind}: {text}\n"));
        }
    }

    /// Says on standard error why a command failed.
    pub(crate) fn fail(self, failure: &Failure) {
        if self.json {
            let (exit, message) = (failure.exit(), failure.message());
            let error = json!({
                "error": { "code": exit as u8, "kind": exit.as_str(), "message": message },
            });
            tell(&escaped(&format!("{error}\n")));
        } else {
            tell(&format!("{failure}\n"));
        }
    }

    /// Warns of scopes with a comma, which are one scope although two were probably meant.
    pub(crate) fn warn_of_commas(self, flag: &str, scopes: &[String]) {
        for scope in scopes.iter().filter(|scope| scope.contains(',')) {
            let each: Vec<String> = scope
                .split(',')
                .filter(|part| !part.is_empty())
                .map(|part| format!("{flag} {part}"))
                .collect();
            self.warn(&format!(
                "{scope} is one scope with a comma in its name; for several, write {}",
                each.join(" ")
            ));
        }
    }

    /// Writes JSON with `--json`, otherwise the text.
    pub(crate) fn either(self, value: &Value, text: &str) -> Result<(), Failure> {
        if self.json {
            print_json(&format!("{value:#}\n"))
        } else {
            print(text)
        }
    }
}

/// Writes JSON to standard output, or fails.
pub(crate) fn print_json(json: &str) -> Result<(), Failure> {
    print(&escaped(json))
}

/// JSON without the characters that control a terminal, except the ends of its lines. Such characters
/// are only in its texts, in which an escape means the same. `serde_json` escapes only C0.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for line in json.split_inclusive('\n') {
        let (line, end) = line
            .strip_suffix('\n')
            .map_or((line, ""), |line| (line, "\n"));
        for character in line.chars() {
            if is_shown(character) {
                text.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a `String` cannot fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
        text.push_str(end);
    }
    text
}

/// Writes all of this text to standard output, or fails.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    if is_closed() {
        return Err(unwritable("it is closed"));
    }
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(unwritable)
}

/// Fails if standard output would be lost, before a key is made that no reader receives.
pub(crate) fn ensure_printable() -> Result<(), Failure> {
    let why = if is_closed() {
        "standard output is closed"
    } else if is_null() {
        "standard output is /dev/null"
    } else if is_unread() {
        "standard output is a pipe that nothing reads"
    } else {
        return Ok(());
    };
    let text = format!(
        "{why}, so the new key would be lost; nothing was changed; capture it with KEY=$(...), or \
         write it to a file that only you may read"
    );
    Err(Failure::new(Exit::Output, text))
}

/// Whether colours help: on a terminal that has them, unless `NO_COLOR` says no
/// (<https://no-color.org>).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let has_none = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    stream.is_terminal()
        && !has_none
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How many columns the terminal has that standard output is, if it is one and says so.
pub(crate) fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let of_the_terminal = terminal_columns().filter(|columns| *columns > 0);
    of_the_terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok())
}

/// Writes more for people to standard error.
pub(crate) fn tell(text: &str) {
    // The result is on standard output; this is not worth a failure.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn unwritable(error: impl Display) -> Failure {
    Failure::new(
        Exit::Output,
        format!("standard output cannot be written to: {error}"),
    )
}

/// Whether standard output is a pipe without a reader.
#[cfg(target_os = "linux")]
fn is_unread() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&now)).is_ok()
        && polled[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::NVAL)
}

#[cfg(target_os = "linux")]
fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col))
}

/// Whether standard output was closed when the program began: Rust's runtime then puts the null
/// device there, open to read and write, which a shell opens to write alone.
#[cfg(target_os = "linux")]
fn is_closed() -> bool {
    use rustix::fs::{OFlags, fcntl_getfl};

    let flags = fcntl_getfl(io::stdout());
    is_null() && flags.is_ok_and(|flags| flags.contains(OFlags::RDWR))
}

#[cfg(target_os = "linux")]
fn is_null() -> bool {
    use rustix::fs::{FileType, fstat, stat};

    let (Ok(stdout), Ok(null)) = (fstat(io::stdout()), stat("/dev/null")) else {
        return false;
    };
    FileType::from_raw_mode(stdout.st_mode) == FileType::CharacterDevice
        && stdout.st_rdev == null.st_rdev
}

#[cfg(not(target_os = "linux"))]
fn is_unread() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_null() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_closed() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn terminal_columns() -> Option<usize> {
    None
}
