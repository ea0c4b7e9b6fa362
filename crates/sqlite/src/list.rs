//! Lists, a page at a time.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ParamsFromIter, Row, ToSql, params_from_iter};
use tower_api_key::store::sql::{
    ListStatements, PageBuilder, Position, Row as Columns, Statement, Value, Way,
};
use tower_api_key::store::{ListQuery, MOST_REALMS, Page, StoreError};
use tower_api_key::{KeyRecord, Realm};
use tower_api_key_sqlite_schema::lists::{DIALECT, REALMS};

use super::place::Place;
use super::read::{Unread, record};
use super::schema::require_intact;

/// A value as rusqlite binds it.
pub(super) struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Number(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Raw(bytes) | Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

pub(super) fn bound(values: &[Value]) -> ParamsFromIter<impl Iterator<Item = Bound<'_>>> {
    params_from_iter(values.iter().map(Bound))
}

pub(super) fn list(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    query: &ListQuery,
) -> Result<Page, Unread> {
    // One state of the store for all reads.
    let reading = connection.transaction()?;
    require_intact(&reading, place)?;
    let asked = ListStatements::new(&DIALECT, realm, query);
    if asked.is_nothing() {
        return Ok(Page::default());
    }
    let way = way(&reading, &asked)?;
    let mut page = PageBuilder::new(query);
    loop {
        let missing = page.missing();
        let statement = asked.page(way, page.after(), missing);
        let mut prepared = reading.prepare_cached(&statement.sql)?;
        let mut rows = prepared.query(bound(&statement.values))?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            let last_used = row.get(Columns::COLUMNS.len())?;
            if !page.take(position(row, way)?, readable(row, realm)?, last_used) {
                return Ok(page.page());
            }
        }
        if missing.is_none_or(|missing| read <= missing) {
            return Ok(page.page());
        }
    }
}

fn way(connection: &Connection, asked: &ListStatements<'_>) -> Result<Way, rusqlite::Error> {
    for (filter, few) in asked.filters() {
        let Statement { sql, values, .. } = asked.count(filter, few);
        let mut counting = connection.prepare_cached(&sql)?;
        let found: i64 = counting.query_row(bound(&values), |row| row.get(0))?;
        if found <= few {
            return Ok(Way::By(filter));
        }
    }
    Ok(asked.other_way())
}

fn position(row: &Row<'_>, way: Way) -> Result<Position, rusqlite::Error> {
    let bytes = |column| {
        Ok::<_, rusqlite::Error>(match row.get_ref(column)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        })
    };
    // The column holds integers only.
    let issued_at = row.get_ref(5)?.as_i64().unwrap_or(-1);
    let position = Position::new(bytes(0)?, issued_at);
    Ok(match way {
        Way::Stored => position.stored_by(bytes(1)?),
        _ => position,
    })
}

/// An error of SQLite itself ends the list. An error in the row does not.
fn readable(row: &Row<'_>, realm: &Realm) -> Result<Result<Arc<KeyRecord>, StoreError>, Unread> {
    match record(row, realm) {
        Ok(record) => Ok(Ok(record)),
        Err(Unread::Row(error)) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

pub(super) fn realms(connection: &Connection, place: &Place) -> Result<Vec<Realm>, Unread> {
    require_intact(connection, place)?;
    let mut statement = connection.prepare_cached(REALMS)?;
    let most = i64::try_from(MOST_REALMS).unwrap_or(i64::MAX);
    let mut rows = statement.query([most])?;
    let mut realms = Vec::new();
    while let Some(row) = rows.next()? {
        // An unreadable name is of no use to an operator.
        let realm = row.get_ref(0)?.as_str().ok();
        realms.extend(realm.and_then(|realm| realm.parse::<Realm>().ok()));
    }
    Ok(realms)
}
