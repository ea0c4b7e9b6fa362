//! Statements that read.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Connection, StatementStatus, ToSql, params};
use tower_api_key::store::sql::{ReadColumns, Row, moment, unreadable};
use tower_api_key::store::{Found, StoreError, StoreErrorKind};
use tower_api_key::{KeyDigest, KeyId, KeyRecord, Realm, Timestamp};
use tower_api_key_sqlite_schema::records::{FIND, GET, LAST_USE};

use super::failure::is_busy;
use super::place::Place;
use super::schema::require_intact;
use super::stopwatch::Moment;

/// How long one caller reads before others have their turn.
const TURN: Duration = Duration::from_millis(5);

/// Why a look-up has no answer: an error of SQLite, which may be that it is busy, or a row that is no
/// record.
pub(super) enum Unread {
    Sqlite(rusqlite::Error),
    Row(StoreError),
}

impl Unread {
    /// Whether a repetition may help.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite(error) if is_busy(error))
    }

    pub(super) fn at(self, place: &Place) -> StoreError {
        match self {
            Self::Sqlite(error) => place.sqlite(error),
            Self::Row(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Row(error)
    }
}

/// Prepares the statements of look-ups, which the connection then keeps.
pub(super) fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    for sql in [&*FIND, &*GET] {
        connection.prepare_cached(sql)?;
    }
    Ok(())
}

pub(super) fn find(
    connection: &Connection,
    place: &Place,
    realm: &Realm,
    digest: &KeyDigest,
) -> Result<Option<Arc<KeyRecord>>, Unread> {
    one(connection, place, &FIND, realm, &digest.as_bytes())
}

pub(super) fn get(
    connection: &Connection,
    place: &Place,
    realm: &Realm,
    id: KeyId,
) -> Result<Option<Arc<KeyRecord>>, Unread> {
    one(connection, place, &GET, realm, &id.as_str())
}

/// The first of these records, at least one if there is an id: other callers wait for their turn too.
pub(super) fn get_some(
    connection: &Connection,
    place: &Place,
    realm: &Realm,
    ids: &[KeyId],
) -> Vec<Found> {
    let began = Moment::now();
    let mut found = Vec::with_capacity(ids.len());
    for &id in ids {
        found.push(get(connection, place, realm, id).map_err(|error| error.at(place)));
        if Moment::now().since(began) >= TURN {
            break;
        }
    }
    found
}

#[inline]
fn one(
    connection: &Connection,
    place: &Place,
    sql: &str,
    realm: &Realm,
    key: &dyn ToSql,
) -> Result<Option<Arc<KeyRecord>>, Unread> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![key, realm.as_str()])?;
    let found = match rows.next()? {
        Some(row) => Some(record(row, realm)?),
        None => None,
    };
    drop(rows);
    // SQLite prepares a statement again if the schema has changed, whatever is now in the place of the
    // table.
    if statement.get_status(StatementStatus::RePrepare) != 0 {
        require_intact(connection, place)?;
        statement.reset_status(StatementStatus::RePrepare);
    }
    Ok(found)
}

pub(super) fn last_uses(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    ids: &[KeyId],
) -> Result<Vec<Option<Timestamp>>, Unread> {
    // One state of the store for all of them.
    let reading = connection.transaction()?;
    require_intact(&reading, place)?;
    let mut statement = reading.prepare_cached(LAST_USE)?;
    let mut uses = Vec::with_capacity(ids.len());
    for id in ids {
        let mut rows = statement.query(params![id.as_str(), realm.as_str()])?;
        let at: Option<i64> = match rows.next()? {
            Some(row) => row.get(0)?,
            None => None,
        };
        uses.push(at.map(|at| moment("last_used_at", at)).transpose()?);
    }
    Ok(uses)
}

pub(super) fn record(row: &rusqlite::Row<'_>, realm: &Realm) -> Result<Arc<KeyRecord>, Unread> {
    Row::read(&Columns(row), realm).map_err(|unread| match unread {
        // A value that does not have the type of its column.
        Unread::Sqlite(error) => {
            let id = row.get_ref(0).ok().and_then(|id| id.as_str().ok());
            let error = StoreError::new(StoreErrorKind::Corrupt, error);
            Unread::Row(unreadable(id.and_then(|id| id.parse().ok()), error))
        }
        unread @ Unread::Row(_) => unread,
    })
}

/// A row of SQLite, whose columns are those of [`Row`].
struct Columns<'a>(&'a rusqlite::Row<'a>);

impl<'a> ReadColumns<'a> for Columns<'a> {
    type Error = Unread;

    #[inline]
    fn text(&self, place: usize) -> Result<Option<&'a str>, Unread> {
        match self.0.get_ref(place) {
            Ok(ValueRef::Text(text)) => match std::str::from_utf8(text) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(unfit(FromSqlError::Other(error.into()))),
            },
            Ok(ValueRef::Null) => Ok(None),
            found => Err(mistyped(found)),
        }
    }

    #[inline]
    fn integer(&self, place: usize) -> Result<Option<i64>, Unread> {
        match self.0.get_ref(place) {
            Ok(ValueRef::Integer(integer)) => Ok(Some(integer)),
            Ok(ValueRef::Null) => Ok(None),
            found => Err(mistyped(found)),
        }
    }

    #[inline]
    fn blob(&self, place: usize) -> Result<Option<&'a [u8]>, Unread> {
        match self.0.get_ref(place) {
            Ok(ValueRef::Blob(bytes)) => Ok(Some(bytes)),
            Ok(ValueRef::Null) => Ok(None),
            found => Err(mistyped(found)),
        }
    }
}

#[cold]
fn mistyped(found: Result<ValueRef<'_>, rusqlite::Error>) -> Unread {
    match found {
        Ok(_) => unfit(FromSqlError::InvalidType),
        Err(error) => Unread::Sqlite(error),
    }
}

#[cold]
fn unfit(error: FromSqlError) -> Unread {
    Unread::Sqlite(error.into())
}
