//! Where the log is, and in which history.

use std::str::FromStr;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use tower_api_key::replica::{Head, Position};
use tower_api_key::store::StoreErrorKind;

use crate::place::Place;
use crate::read::Unread;

const NOW: &str = "SELECT seq, token, staleness_ms,
        CASE WHEN unixepoch() - changed_at > 1200 THEN staleness_ms
             ELSE max(staleness_ms, former_ms) END
    FROM api_key_feed, (SELECT seq, token FROM api_key_changes ORDER BY seq DESC LIMIT 1)";

/// A place in the log.
///
/// The random token of the row shows whether a file has the same history up to there, whatever was restored, copied
/// or moved. What is done to the schema is not in the log, so it begins another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) seq: i64,
    token: i64,
    schema: i64,
}

impl Mark {
    /// `None` if the position is not one of this kind of feed.
    pub(super) fn of(position: &Position) -> Option<Self> {
        let mut numbers = position.as_str().split(':').map(i64::from_str);
        let mut next = || numbers.next()?.ok();
        let (seq, token, schema) = (next()?, next()?, next()?);
        numbers
            .next()
            .is_none()
            .then_some(Self { seq, token, schema })
    }

    fn position(self) -> Position {
        Position::new(format!("{}:{}:{}", self.seq, self.token, self.schema))
    }

    /// Whether the history that is at `now` went through this place, and all changes since are in the log.
    pub(super) fn is_before(&self, now: &Self, reading: &Connection) -> Result<bool, Unread> {
        Ok(self.schema == now.schema && self.is_in(reading)?)
    }

    /// Whether the log has this place.
    pub(super) fn is_in(&self, reading: &Connection) -> Result<bool, rusqlite::Error> {
        let mut token =
            reading.prepare_cached("SELECT token FROM api_key_changes WHERE seq = ?1")?;
        let token: Option<i64> = token.query_row([self.seq], |row| row.get(0)).optional()?;
        Ok(token == Some(self.token))
    }
}

/// The end of the log.
pub(super) fn now(reading: &Connection, place: &Place) -> Result<(Mark, Head), Unread> {
    let numbers = reading
        .prepare_cached(NOW)?
        .query_row([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let schema = reading
        .prepare_cached("PRAGMA schema_version")?
        .query_row([], |row| row.get(0))?;
    // After the last number, SQLite gives out any that is free.
    let Some((seq, token, staleness, longest)) = numbers.filter(|numbers| numbers.0 < i64::MAX)
    else {
        return Err(Unread::Row(place.error(
            StoreErrorKind::Schema,
            "its log of changes was changed by hand, so no replica can follow it; restore the file from a backup",
        )));
    };
    let mark = Mark { seq, token, schema };
    let mut head = Head::new(mark.position(), milliseconds(staleness));
    head.longest_staleness = milliseconds(longest);
    Ok((mark, head))
}

fn milliseconds(number: i64) -> Duration {
    Duration::from_millis(number.unsigned_abs())
}
