//! How many keys a subject has.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params};
use tower_api_key::store::KeyLimit;
use tower_api_key::store::sql::column_time;
use tower_api_key_sqlite_schema::limits::{FEW, FORGET, KEEP, KEPT, LIVING};

use super::read::Unread;

/// Whether a limit holds in this transaction. It has the lock of the file, so no other writer changes the number.
pub(super) fn holds(connection: &Connection, limit: &KeyLimit) -> Result<bool, Unread> {
    let (realm, subject) = (limit.realm().as_str(), limit.subject().as_str());
    let at = column_time(limit.at())?;
    let kept: Option<(i64, i64)> = connection
        .prepare_cached(KEPT)?
        .query_row(params![realm, subject], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if kept.is_some_and(|(counted_at, keys)| {
        counted_at <= at && u64::try_from(keys).is_ok_and(|keys| keys <= limit.most() as u64)
    }) {
        return Ok(true);
    }
    let mut statement = connection.prepare_cached(LIVING)?;
    let mut rows = statement.query(params![realm, subject, at])?;
    let mut keys = 0;
    let mut lineages = HashSet::new();
    while let Some(row) = rows.next()? {
        keys += 1;
        lineages.insert(
            row.get_ref(0)?
                .as_bytes()
                .map_err(rusqlite::Error::from)?
                .to_vec(),
        );
        if lineages.len() > limit.most() {
            return Ok(false);
        }
    }
    if keys > FEW {
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        let mut keep = connection.prepare_cached(KEEP)?;
        keep.execute(params![realm, subject, at, keys])?;
    } else if kept.is_some() {
        let mut forget = connection.prepare_cached(FORGET)?;
        forget.execute(params![realm, subject])?;
    }
    Ok(true)
}
