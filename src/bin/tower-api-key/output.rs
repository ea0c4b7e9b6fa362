//! Standard output, which may be closed.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};

use serde_json::Value;
use tower_api_key::Escaped;

use crate::failure::{Exit, Failure};

/// Where results go, and in which form.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes JSON where it is asked for, and else the text.
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

/// JSON without a character that a terminal obeys, but for the ends of its lines. Such characters
/// stand in its texts alone, where an escape means the same; `serde_json` escapes C0 only.
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

/// Whether a terminal shows this character as it is.
pub(crate) fn is_shown(character: char) -> bool {
    let shown = || Escaped(character.encode_utf8(&mut [0; 4])).to_string();
    character.is_ascii_graphic() || character == ' ' || shown().chars().eq([character])
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

/// Refuses to go on where what is written to standard output is lost, before a key is made that
/// nobody would have.
pub(crate) fn ensure_printable() -> Result<(), Failure> {
    if is_lost() {
        let text = "standard output is closed, so the new key would be lost; nothing was changed";
        return Err(Failure::new(Exit::Output, text));
    }
    Ok(())
}

/// Whether colours help: on a terminal, unless `NO_COLOR` says no (<https://no-color.org>).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Tells people more, where they are listening.
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

/// Whether nobody gets what is written: a pipe without a reader, or the null device.
#[cfg(target_os = "linux")]
fn is_lost() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let unread = poll(&mut polled, Some(&now)).is_ok()
        && polled[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::NVAL);
    unread || is_null()
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
fn is_lost() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_closed() -> bool {
    false
}
