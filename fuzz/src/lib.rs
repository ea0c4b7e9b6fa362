//! What must hold for any input from outside. Each function takes one input, and panics if its rule does not
//! hold for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "here a panic is the finding"
)]

mod clients;
mod documents;
mod head;
mod rows;
mod texts;

use std::fs;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub use clients::clients;
pub use documents::documents;
pub use head::head;
pub use rows::rows;
pub use texts::texts;

use tower_api_key::{Grant, KeyRing};

/// Takes each file that is named on the command line as an input, such as one that libFuzzer has kept.
///
/// # Errors
///
/// If a file cannot be read.
pub fn replay(target: fn(&[u8])) -> io::Result<()> {
    for file in std::env::args_os().skip(1) {
        target(&fs::read(file)?);
    }
    Ok(())
}

/// The output of a future that waits for nothing.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a store in memory answers at once"),
    }
}

/// A new key, as its holder sees it.
fn key(ring: &KeyRing, grant: Grant) -> String {
    let issued = at_once(ring.issue(grant)).unwrap();
    issued.secret().expose().to_owned()
}

/// The input with another text in each of these places.
fn filled(input: &[u8], places: &[(&str, &str)]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(input.len());
    let mut rest = input;
    'input: while let Some((first, others)) = rest.split_first() {
        for (place, text) in places {
            if let Some(after) = rest.strip_prefix(place.as_bytes()) {
                filled.extend_from_slice(text.as_bytes());
                rest = after;
                continue 'input;
            }
        }
        filled.push(*first);
        rest = others;
    }
    filled
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|it| it == part.as_bytes())
}
