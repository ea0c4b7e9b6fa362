//! Notices of keys that expire soon: how they are claimed.

use std::time::Duration;

use rusqlite::{Connection, Row, params};
use tower_api_key::store::{ExpiryClaims, ExpiryLadder, ExpiryNotice, StoreError};
use tower_api_key::{Realm, Timestamp};
use tower_api_key_sqlite_schema::notices::Notices;

use super::acting::acting;
use super::place::Place;
use super::schema::require_intact;
use super::write::begin;

/// Claims what is due, in one transaction. Only if something is due, it takes the lock of the writers.
pub(super) fn claim(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    ladder: &ExpiryLadder,
    (now, limit): (Timestamp, usize),
) -> Result<ExpiryClaims, StoreError> {
    let Some(statements) = Notices::new(ladder) else {
        return Ok(ExpiryClaims::default());
    };
    // No expiry in a column is later.
    let now = i64::try_from(now.as_unix()).unwrap_or(i64::MAX);
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let fail = |error| place.sqlite(error);
    require_intact(connection, place)?;
    let is_due: bool = connection
        .prepare_cached(&statements.is_due)
        .and_then(|mut asked| asked.query_row(params![realm.as_str(), now, most], |row| row.get(0)))
        .map_err(fail)?;
    if !is_due {
        return Ok(ExpiryClaims::default());
    }
    let transaction = begin(connection, place)?;
    // The trigger of the history notes each claim, as one of a ring.
    let claimed = acting(&transaction, place, None, |transaction| {
        let mut claiming = transaction
            .prepare_cached(&statements.claim)
            .map_err(fail)?;
        let rows = claiming.query_map(params![realm.as_str(), now, most], notice);
        rows.and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(fail)
    })?;
    transaction.commit().map_err(fail)?;
    let more = claimed.len() >= limit;
    Ok(ExpiryClaims::new(
        claimed.into_iter().flatten().collect(),
        more,
    ))
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

/// The trigger that notes each claim in the history.
const NOTES: &str = "api_keys_note_in_history_notices";

/// Notices that were sent for the keys of the attached file `newer` are not sent again. Their entries, if it has any, came
/// with its history, so none is written here. The trigger is away meanwhile, in a transaction on a file of which nobody
/// else knows.
pub(super) fn carry(transaction: &Connection) -> Result<(), rusqlite::Error> {
    let trigger = "SELECT sql FROM main.sqlite_schema WHERE type = 'trigger' AND name = ?1";
    let trigger: String = transaction.query_row(trigger, [NOTES], |row| row.get(0))?;
    let carry = "UPDATE main.api_keys AS mine SET noticed_step = newer.noticed_step \
         FROM newer.api_keys AS newer WHERE newer.digest = mine.digest \
         AND coalesce(mine.noticed_step > newer.noticed_step, newer.noticed_step IS NOT NULL)";
    transaction.execute_batch(&format!("DROP TRIGGER main.{NOTES}; {carry}; {trigger};"))
}
