//! Records as rows of the table.

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};

use super::super::StoreError;
use super::super::row::Row;
use super::error::failed;
use super::tables::{SEEN, seen};
use crate::access::realm::Realm;
use crate::record::KeyRecord;

macro_rules! columns {
    () => {
        "id, digest, pepper_version, subject, scopes, issued_at, not_before, expires_at, \
         retire_at, lineage, generation, version, revoked_at, revocation_reason, label, metadata, \
         prefix"
    };
}
pub(super) const COLUMNS: &str = columns!();

/// Always a row: the server's state and, if there are records, the columns of each in the order in which
/// [`to_record`] reads them.
macro_rules! select {
    ($statement:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            seen!($statement),
            ", found.* FROM (SELECT 1) AS one LEFT JOIN (\
             SELECT ",
            columns!(),
            " FROM @.tower_api_keys WHERE ",
            $rest,
            ") AS found ON true"
        )
    };
}

pub(super) const SELECT_BY_DIGEST: &str = select!("find", "digest @= $1 AND realm @= $2");
pub(super) const SELECT_BY_ID: &str = select!("get", "id @= $1 AND realm @= $2");
pub(super) const SELECT_BY_IDS: &str = select!("get_many", "id @= ANY ($1) AND realm @= $2");

/// The record of a row, if it holds one.
pub(super) fn to_record(row: &PgRow, realm: &Realm) -> Result<Option<KeyRecord>, StoreError> {
    let Some(id) = column(row, SEEN)? else {
        return Ok(None);
    };
    Row {
        id,
        digest: column(row, SEEN + 1)?,
        pepper_version: column(row, SEEN + 2)?,
        subject: column(row, SEEN + 3)?,
        scopes: column(row, SEEN + 4)?,
        issued_at: column(row, SEEN + 5)?,
        not_before: column(row, SEEN + 6)?,
        expires_at: column(row, SEEN + 7)?,
        retire_at: column(row, SEEN + 8)?,
        lineage: column(row, SEEN + 9)?,
        generation: column(row, SEEN + 10)?,
        version: column(row, SEEN + 11)?,
        revoked_at: column(row, SEEN + 12)?,
        revocation_reason: column(row, SEEN + 13)?,
        label: column(row, SEEN + 14)?,
        metadata: column(row, SEEN + 15)?,
        prefix: column(row, SEEN + 16)?,
    }
    .into_record(realm)
    .map(Some)
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
