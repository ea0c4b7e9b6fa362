//! Keys that another system minted: imported in bulk by their stored hashes, or on demand.

mod asked;
mod bounds;
mod first_use;
mod many;
mod sanctum;

use std::time::Duration;

use tower_api_key::{Grant, InvalidCause, KeyRing, VerifyErrorKind};

const DAY: Duration = Duration::from_hours(24);
/// A key of the other system, strong enough to be imported.
const OLD: &str = "k7.Zr01mLw8Vx6pTe2NdUu71Bc9XyQw33r";

fn grant() -> Grant {
    Grant::new("alice").expires_in(DAY)
}

/// The verdict of a ring on a key: its subject, or the kind of the error.
async fn verdict(ring: &KeyRing, key: &str) -> Result<String, VerifyErrorKind> {
    let verdict = ring.verify(key.as_bytes()).await;
    verdict
        .map(|key| key.subject().to_string())
        .map_err(|error| error.kind())
}

fn invalid<T>(cause: InvalidCause) -> Result<T, VerifyErrorKind> {
    Err(VerifyErrorKind::Invalid(cause))
}

/// The text of an error with those of its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
