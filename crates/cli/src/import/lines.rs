//! The lines of a batch, each bounded in length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::failure::Failure;

/// The longest line in bytes: more than a key, a label and metadata can have.
const LONGEST: usize = 64 * 1024;

/// A line and its number, the first being 1; why it cannot be read, in the place of its text.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: Result<String, &'static str>,
}

pub(super) struct Lines {
    input: Box<dyn BufRead>,
    number: u64,
}

impl Lines {
    /// The lines of a file, or of standard input if it is `-`.
    pub(super) fn open(file: &Path) -> Result<Self, Failure> {
        let input: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let opened = File::open(file).map_err(|error| {
                Failure::usage(format!("{} cannot be read: {error}", file.display()))
            })?;
            Box::new(BufReader::new(opened))
        };
        Ok(Self { input, number: 0 })
    }

    /// The next line that is not empty.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            let Some(bytes) = self.read()? else {
                return Ok(None);
            };
            self.number += 1;
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            // What spreadsheets put in front of a file.
            let bytes = match self.number {
                1 => bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes),
                _ => bytes,
            };
            if bytes.is_empty() {
                continue;
            }
            let text = if bytes.len() > LONGEST {
                Err("the line is longer than 64 KiB")
            } else {
                String::from_utf8(bytes.to_vec()).map_err(|_| "the line is not UTF-8")
            };
            return Ok(Some(Line {
                number: self.number,
                text,
            }));
        }
    }

    /// A line with its end, or of a longer one the start.
    fn read(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let unreadable =
            |error| Failure::usage(format!("the input cannot be read to its end: {error}"));
        let mut bytes = Vec::new();
        let most = u64::try_from(LONGEST + 3).unwrap_or(u64::MAX);
        let mut limited = self.input.by_ref().take(most);
        if limited.read_until(b'\n', &mut bytes).map_err(unreadable)? == 0 {
            return Ok(None);
        }
        while bytes.len() > LONGEST && bytes.last() != Some(&b'\n') {
            let mut rest = Vec::new();
            let mut limited = self.input.by_ref().take(most);
            if limited.read_until(b'\n', &mut rest).map_err(unreadable)? == 0 {
                break;
            }
            if rest.last() == Some(&b'\n') {
                break;
            }
        }
        Ok(Some(bytes))
    }
}
