//! Notices of keys that expire soon: how they are claimed.

use std::fmt::Write as _;
use std::time::Duration;

use rusqlite::{Connection, Row, params};
use tower_api_key::store::{ExpiryClaims, ExpiryLadder, ExpiryNotice, StoreError};
use tower_api_key::{Realm, Timestamp};

use super::place::Place;
use super::schema::require_intact;
use super::write::begin;

/// The keys that are due: `?1` is the realm, `?2` the time, `?3` how many. There is one descent in the index for each claim
/// that some key has, and each finds the keys of its claim whose expiry is within the next step. `CROSS JOIN` keeps
/// SQLite from another order.
const DUE: &str = "told (step) AS (
    SELECT 0
    UNION ALL
    SELECT (SELECT coalesce(noticed_step, 9223372036854775807) FROM api_keys
        WHERE realm = ?1 AND revoked_at IS NULL AND retire_at IS NULL AND expires_at IS NOT NULL
            AND coalesce(noticed_step, 9223372036854775807) > told.step
        ORDER BY coalesce(noticed_step, 9223372036854775807) LIMIT 1)
    FROM told WHERE told.step IS NOT NULL
), due (digest, step) AS (
    SELECT keys.digest, (SELECT min(step) FROM ladder WHERE keys.expires_at - ladder.step <= ?2)
    FROM told CROSS JOIN api_keys AS keys
    WHERE keys.realm = ?1 AND keys.revoked_at IS NULL AND keys.retire_at IS NULL
        AND coalesce(keys.noticed_step, 9223372036854775807) = told.step
        AND keys.expires_at > ?2
        AND keys.expires_at <= ?2 + (SELECT max(step) FROM ladder WHERE ladder.step < told.step)
    LIMIT ?3
)";

/// Claims what is due, in one transaction. Only if something is due, it takes the lock of the writers.
pub(super) fn claim(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    ladder: &ExpiryLadder,
    (now, limit): (Timestamp, usize),
) -> Result<ExpiryClaims, StoreError> {
    let Some(with) = with(ladder) else {
        return Ok(ExpiryClaims::default());
    };
    // No expiry in a column is later.
    let now = i64::try_from(now.as_unix()).unwrap_or(i64::MAX);
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let fail = |error| place.sqlite(error);
    require_intact(connection, place)?;
    let is_due: bool = connection
        .prepare_cached(&format!("{with} SELECT EXISTS (SELECT 1 FROM due)"))
        .and_then(|mut asked| asked.query_row(params![realm.as_str(), now, most], |row| row.get(0)))
        .map_err(fail)?;
    if !is_due {
        return Ok(ExpiryClaims::default());
    }
    let transaction = begin(connection, place)?;
    let claimed = transaction
        .prepare_cached(&format!(
            "{with} UPDATE api_keys SET noticed_step = due.step FROM due WHERE api_keys.digest = due.digest \
             RETURNING id, subject, expires_at, issued_at, noticed_step"
        ))
        .and_then(|mut claiming| {
            let rows = claiming.query_map(params![realm.as_str(), now, most], notice)?;
            rows.collect::<Result<Vec<_>, _>>()
        })
        .map_err(fail)?;
    transaction.commit().map_err(fail)?;
    let more = claimed.len() >= limit;
    Ok(ExpiryClaims::new(
        claimed.into_iter().flatten().collect(),
        more,
    ))
}

/// The beginning of a statement about what is due. `None` without steps.
pub(super) fn with(ladder: &ExpiryLadder) -> Option<String> {
    let mut with = String::new();
    for step in ladder.steps() {
        let separator = if with.is_empty() { "" } else { ", " };
        // Writing to a `String` cannot fail.
        let _ = write!(with, "{separator}({})", step.as_secs());
    }
    (!with.is_empty()).then(|| format!("WITH RECURSIVE ladder (step) AS (VALUES {with}), {DUE}"))
}

/// `None` if the step does not count, or the id is none.
fn notice(row: &Row<'_>) -> Result<Option<ExpiryNotice>, rusqlite::Error> {
    let text = |column| row.get_ref(column).ok()?.as_str().ok();
    let seconds = |column| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
    let expires_at = Timestamp::from_unix(seconds(2)?);
    let issued_at = Timestamp::from_unix(seconds(3)?);
    let step = Duration::from_secs(seconds(4)?);
    let id = text(0).and_then(|id| id.parse().ok());
    let id = id.filter(|_| ExpiryLadder::counts(step, issued_at, expires_at));
    Ok(id.map(|id| ExpiryNotice::new(id, text(1).map(str::to_owned), expires_at, step)))
}

/// What was told of the keys in the attached file `newer` is not told again.
pub(super) fn carry(connection: &Connection) -> Result<(), rusqlite::Error> {
    let carry = "UPDATE main.api_keys AS mine SET noticed_step = newer.noticed_step \
         FROM newer.api_keys AS newer WHERE newer.digest = mine.digest \
         AND coalesce(mine.noticed_step > newer.noticed_step, newer.noticed_step IS NOT NULL)";
    connection.execute(carry, []).map(drop)
}
