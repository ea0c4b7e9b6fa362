//! The history of keys: how it is read and forgotten.

use futures_timer::Delay;
use rusqlite::{Connection, Row, Transaction, params};
use tower_api_key::store::sql::HistoryRow;
use tower_api_key::store::{HistoryEntry, HistoryPage, HistoryQuery, StoreError};
use tower_api_key::{Actor, Realm, Timestamp};
use tower_api_key_sqlite_schema::history::{
    AT_ONCE, FORGET, NOTE_FORGOTTEN, REST, place, statement,
};

use super::SqliteStore;
use super::acting::act;
use super::list::bound;
use super::place::Place;
use super::read::Unread;
use super::schema::require_intact;
use super::write::begin;

pub(super) fn list(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    query: &HistoryQuery,
) -> Result<HistoryPage, Unread> {
    let reading = connection.transaction()?;
    require_intact(&reading, place)?;
    let asked = statement(realm, query)?;
    let mut statement = reading.prepare_cached(&asked.sql)?;
    let mut rows = statement.query(bound(&asked.values))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row, realm)?);
    }
    Ok(HistoryPage::new(entries, query.limit))
}

fn entry(row: &Row<'_>, realm: &Realm) -> Result<HistoryEntry, Unread> {
    let text = |column| row.get_ref(column).ok()?.as_str().ok();
    let (seq, at): (i64, i64) = (row.get(0)?, row.get(2)?);
    let token = row.get_ref(1)?.as_blob().unwrap_or_default();
    let place = place(at, seq, token)?;
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
    let removed =
        transaction
            .prepare_cached(FORGET)?
            .execute(params![realm.as_str(), before, most])?;
    act(transaction, false, None, None)?;
    if removed > 0 {
        let count = i64::try_from(removed).unwrap_or(i64::MAX);
        let actor = by.map(Actor::as_str);
        transaction
            .prepare_cached(NOTE_FORGOTTEN)?
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
