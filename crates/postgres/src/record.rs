//! Records as rows of the table.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};
use tower_api_key::store::StoreError;
use tower_api_key::store::sql::{ReadColumns, Row};
use tower_api_key::{KeyRecord, Realm};

use super::error::failed;
use super::tables::SEEN;

/// The record of a row, if it holds one.
pub(super) fn to_record(row: &PgRow, realm: &Realm) -> Result<Option<Arc<KeyRecord>>, StoreError> {
    let id: Option<&str> = column(row, SEEN)?;
    id.map(|_| Row::read(&Columns(row), realm)).transpose()
}

/// A row of an answer, whose columns are those of [`Row`] after the server's state.
struct Columns<'a>(&'a PgRow);

impl<'a> ReadColumns<'a> for Columns<'a> {
    type Error = StoreError;

    fn text(&self, place: usize) -> Result<Option<&'a str>, StoreError> {
        column(self.0, SEEN + place)
    }

    fn integer(&self, place: usize) -> Result<Option<i64>, StoreError> {
        column(self.0, SEEN + place)
    }

    fn blob(&self, place: usize) -> Result<Option<&'a [u8]>, StoreError> {
        column(self.0, SEEN + place)
    }
}

pub(super) fn column<'r, T>(
    row: &'r PgRow,
    index: impl sqlx::ColumnIndex<PgRow>,
) -> Result<T, StoreError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(index).map_err(|error| failed(&error))
}
