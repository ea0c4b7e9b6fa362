//! The history of keys, in a transaction.

use sqlx::Error as SqlError;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tower_api_key::store::sql::HistoryRow;
use tower_api_key::store::{HistoryEntry, HistoryPage, HistoryQuery, StoreError};
use tower_api_key::{Actor, Realm, Timestamp};
use tower_api_key_sqlite_schema::history::{AT_ONCE, FORGET, NOTE_FORGOTTEN, place, statement};

use super::place::Place;
use super::statement::{asked, column, composed};
use super::write::{act, act_no_more};

pub(super) async fn list(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    let rows = composed(statement(realm, query)?);
    let rows = rows.fetch_all(connection).await;
    let rows = rows.map_err(|error| place.sqlx(error))?;
    let entries: Result<Vec<_>, _> = rows.iter().map(|row| entry(row, realm, place)).collect();
    Ok(HistoryPage::new(entries?, query.limit))
}

fn entry(row: &SqliteRow, realm: &Realm, database: &Place) -> Result<HistoryEntry, StoreError> {
    let text = |place| column::<Option<&str>>(row, place).ok().flatten();
    let numbers = || -> Result<(i64, i64, i64), SqlError> {
        Ok((column(row, 0)?, column(row, 2)?, column(row, 7)?))
    };
    let (seq, at, by_hand) = numbers().map_err(|error| database.sqlx(error))?;
    let token = column::<&[u8]>(row, 1).unwrap_or_default();
    let row = HistoryRow {
        action: text(3).unwrap_or_default(),
        key_id: text(4),
        subject: text(5),
        actor: text(6),
        is_by_hand: by_hand != 0,
        before: text(8),
        after: text(9),
        ..HistoryRow::new(
            place(at, seq, token)?,
            Timestamp::from_unix(at.unsigned_abs()),
        )
    };
    Ok(row.entry(realm))
}

/// Removes at most a step's entries, and says so, so that the history says so wherever it is interrupted.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    before: i64,
    by: Option<&Actor>,
) -> Result<u64, StoreError> {
    let fail = |error| place.sqlx(error);
    act(connection, place, by, Some(before)).await?;
    let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
    let forget = asked(FORGET).bind(realm.as_str().to_owned());
    let removed = forget
        .bind(before)
        .bind(most)
        .execute(&mut *connection)
        .await;
    let removed = removed.map_err(fail)?.rows_affected();
    act_no_more(connection, place).await?;
    if removed > 0 {
        let count = i64::try_from(removed).unwrap_or(i64::MAX);
        let actor = by.map(|actor| actor.as_str().to_owned());
        let note = asked(NOTE_FORGOTTEN).bind(realm.as_str().to_owned());
        let note = note.bind(actor).bind(before).bind(count);
        note.execute(connection).await.map_err(fail)?;
    }
    Ok(removed)
}
