//! How old the copies may be that services keep in memory.

use std::time::Duration;

use serde_json::json;
use tower_api_key::replica::STALENESS;

use crate::arguments::Common;
use crate::durations::duration;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn staleness(
    common: &Common,
    output: Output,
    set: Option<&str>,
) -> Result<(), Failure> {
    let set = set.map(length).transpose()?;
    let store = common.store_url()?.followed().await?;
    if let Some(staleness) = set {
        store.set_staleness(staleness).await?;
    }
    let milliseconds = store.staleness().await?.as_millis();
    let text = if milliseconds % 1000 == 0 {
        format!("{}s\n", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms\n")
    };
    output.either(&json!({ "staleness_ms": milliseconds }), &text)
}

/// A duration of the bounds that a database has.
fn length(text: &str) -> Result<Duration, Failure> {
    let milliseconds = text.strip_suffix("ms").map(str::parse);
    let length = match milliseconds {
        Some(Ok(milliseconds)) => Duration::from_millis(milliseconds),
        _ => duration(text)?,
    };
    if !STALENESS.contains(&length) {
        return Err(Failure::usage(format!(
            "invalid staleness: {text}; write a duration from 100ms to 10m, such as 2s"
        )));
    }
    Ok(length)
}
