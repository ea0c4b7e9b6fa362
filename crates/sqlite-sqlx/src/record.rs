//! Records as rows.

use std::sync::Arc;

use sqlx::Error as SqlError;
use sqlx::sqlite::SqliteRow;
use tower_api_key::store::StoreError;
use tower_api_key::store::sql::{ReadColumns, Row, unreadable};
use tower_api_key::{KeyRecord, Realm};

use super::place::Place;
use super::statement::column;

/// The record of a row whose columns begin at a place.
pub(super) fn record(
    row: &SqliteRow,
    begin: usize,
    realm: &Realm,
    place: &Place,
) -> Result<Arc<KeyRecord>, StoreError> {
    let columns = Columns { row, begin };
    Row::read(&columns, realm).map_err(|unread| match unread {
        // A value that does not have the type of its column.
        Unread::Sqlx(error) => {
            let id: Option<&str> = column(row, begin).ok();
            unreadable(id.and_then(|id| id.parse().ok()), place.sqlx(error))
        }
        Unread::Row(error) => error,
    })
}

/// Why a row is no record.
enum Unread {
    Sqlx(SqlError),
    Row(StoreError),
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Row(error)
    }
}

struct Columns<'a> {
    row: &'a SqliteRow,
    begin: usize,
}

impl<'a> ReadColumns<'a> for Columns<'a> {
    type Error = Unread;

    fn text(&self, place: usize) -> Result<Option<&'a str>, Unread> {
        column(self.row, self.begin + place).map_err(Unread::Sqlx)
    }

    fn integer(&self, place: usize) -> Result<Option<i64>, Unread> {
        column(self.row, self.begin + place).map_err(Unread::Sqlx)
    }

    fn blob(&self, place: usize) -> Result<Option<&'a [u8]>, Unread> {
        column(self.row, self.begin + place).map_err(Unread::Sqlx)
    }
}
