//! The history of keys: how it is read and forgotten.

use std::fmt::Write as _;
use std::time::Duration;

use futures_timer::Delay;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, Transaction, params, params_from_iter};
use tower_api_key::store::sql::HistoryRow;
use tower_api_key::store::{
    HistoryEntry, HistoryPage, HistoryPlace, HistoryQuery, StoreError, StoreErrorKind,
};
use tower_api_key::{Actor, Realm, Timestamp};

use super::SqliteStore;
use super::acting::act;
use super::place::Place;
use super::read::Unread;
use super::schema::require_intact;
use super::write::begin;

/// How many entries a step forgets, and the rest between two steps, as for a purge.
const AT_ONCE: usize = 5_000;
const REST: Duration = Duration::from_millis(120);

pub(super) fn list(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    query: &HistoryQuery,
) -> Result<HistoryPage, Unread> {
    let reading = connection.transaction()?;
    require_intact(&reading, place)?;
    let (sql, values) = statement(realm, query)?;
    let mut statement = reading.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row, realm)?);
    }
    Ok(HistoryPage::new(entries, query.limit))
}

/// One entry more than are asked for says that there is a next page.
fn statement(realm: &Realm, query: &HistoryQuery) -> Result<(String, Vec<Value>), StoreError> {
    let mut sql = "SELECT seq, token, at, action, key_id, subject, actor, by_hand, before, after \
         FROM api_key_history WHERE realm = ?"
        .to_owned();
    let mut values = vec![Value::Text(realm.to_string())];
    let seconds = |at: Timestamp| Value::Integer(i64::try_from(at.as_unix()).unwrap_or(i64::MAX));
    let conditions = [
        (
            " AND key_id = ?",
            query.key.map(|key| Value::Text(key.to_string())),
        ),
        (" AND subject = ?", query.subject.clone().map(Value::Text)),
        (" AND at >= ?", query.since.map(seconds)),
        (" AND at < ?", query.before.map(seconds)),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    }
    let (compared, order) = if query.oldest_first {
        (" AND (at, seq) > (?, ?)", " ORDER BY at, seq LIMIT ?")
    } else {
        (
            " AND (at, seq) < (?, ?)",
            " ORDER BY at DESC, seq DESC LIMIT ?",
        )
    };
    if let Some(after) = &query.after {
        let (at, seq) = position(after)?;
        sql.push_str(compared);
        values.extend([Value::Integer(at), Value::Integer(seq)]);
    }
    sql.push_str(order);
    let limit = query.limit.and_then(|limit| i64::try_from(limit).ok());
    values.push(Value::Integer(
        limit.map_or(-1, |limit| limit.saturating_add(1)),
    ));
    Ok((sql, values))
}

/// The time and the number of a place. The token makes it a name.
fn position(place: &HistoryPlace) -> Result<(i64, i64), StoreError> {
    let mut parts = place.as_str().split('-');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    if let (Some(at), Some(seq)) = (number(), number()) {
        return Ok((at, seq));
    }
    let error = "this place is one of another store's history";
    Err(StoreError::new(StoreErrorKind::Unsupported, error))
}

fn entry(row: &Row<'_>, realm: &Realm) -> Result<HistoryEntry, Unread> {
    let text = |column| row.get_ref(column).ok()?.as_str().ok();
    let (seq, at): (i64, i64) = (row.get(0)?, row.get(2)?);
    let token = row.get_ref(1)?.as_blob().unwrap_or_default();
    let mut place = format!("{at}-{seq}-");
    for byte in token {
        // Writing to a `String` cannot fail.
        let _ = write!(place, "{byte:02x}");
    }
    let place = place.parse();
    let place = place.map_err(StoreError::unavailable)?;
    let row = HistoryRow {
        action: text(3).unwrap_or_default(),
        key_id: text(4),
        subject: text(5),
        actor: text(6),
        is_by_hand: row.get(7)?,
        before: text(8),
        after: text(9),
        ..HistoryRow::new(place, Timestamp::from_unix(at.unsigned_abs()))
    };
    Ok(row.entry(realm))
}

/// Removes the entries of a realm from before a time, and returns how many there were.
pub(super) async fn forget(
    store: &SqliteStore,
    realm: &Realm,
    before: Timestamp,
    by: Option<&Actor>,
) -> Result<u64, StoreError> {
    let before = i64::try_from(before.as_unix()).unwrap_or(i64::MAX);
    let mut forgotten = 0;
    loop {
        let (realm, by) = (realm.clone(), by.cloned());
        let job = move |connection: &mut Connection, place: &Place| {
            let transaction = begin(connection, place)?;
            let removed = step(&transaction, &realm, before, by.as_ref())
                .map_err(|error| place.sqlite(error))?;
            transaction.commit().map_err(|error| place.sqlite(error))?;
            Ok(removed)
        };
        let removed = store.write(job).await?;
        forgotten += removed as u64;
        if removed < AT_ONCE {
            return Ok(forgotten);
        }
        Delay::new(REST).await;
    }
}

/// Each step says what it has removed, so that the history says so wherever it is interrupted.
fn step(
    transaction: &Transaction<'_>,
    realm: &Realm,
    before: i64,
    by: Option<&Actor>,
) -> Result<usize, rusqlite::Error> {
    act(transaction, true, by, Some(before))?;
    let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
    let removed = transaction
        .prepare_cached(
            "DELETE FROM api_key_history WHERE seq IN (SELECT seq FROM api_key_history \
             WHERE realm = ?1 AND at < ?2 ORDER BY at, seq LIMIT ?3)",
        )?
        .execute(params![realm.as_str(), before, most])?;
    act(transaction, false, None, None)?;
    if removed > 0 {
        let count = i64::try_from(removed).unwrap_or(i64::MAX);
        let actor = by.map(Actor::as_str);
        transaction
            .prepare_cached(
                "INSERT INTO api_key_history (token, at, realm, action, actor, by_hand, after) \
                 VALUES (randomblob(12), unixepoch(), ?1, 'forgotten', ?2, 0, \
                 json_object('before', ?3, 'entries', ?4))",
            )?
            .execute(params![realm.as_str(), actor, before, count])?;
    }
    Ok(removed)
}

/// Entries of an attached file that this one does not have, in their order.
const CARRY: &str = "INSERT INTO main.api_key_history
        (token, at, realm, action, key_id, subject, actor, by_hand, before, after)
    SELECT token, at, realm, action, key_id, subject, actor, by_hand, before, after
    FROM newer.api_key_history WHERE token NOT IN (SELECT token FROM main.api_key_history)
    ORDER BY seq";

/// Brings what the attached file `newer` knows of the history.
pub(super) fn carry(transaction: &Connection) -> Result<(), rusqlite::Error> {
    transaction.execute(CARRY, []).map(drop)
}

/// Notes in the history of each realm that a backup takes the place of the store.
pub(super) fn note_restored(
    connection: &Connection,
    actor: Option<&Actor>,
) -> Result<(), rusqlite::Error> {
    let note = "INSERT INTO api_key_history (token, at, realm, action, actor, by_hand) \
         SELECT randomblob(12), unixepoch(), realm, 'restored', ?1, 0 FROM \
         (SELECT realm FROM api_keys UNION SELECT realm FROM api_key_history) AS realms";
    connection
        .execute(note, [actor.map(Actor::as_str)])
        .map(drop)
}
