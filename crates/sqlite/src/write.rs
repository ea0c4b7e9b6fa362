//! Statements that write, each in a transaction that takes the write lock at once.

use rusqlite::types::{Null, ToSqlOutput};
use rusqlite::{Connection, Transaction, TransactionBehavior, params, params_from_iter};
use tower_api_key::store::sql::{ColumnValue, Row, column_time};
use tower_api_key::store::{Change, Expected, StoreError, StoreErrorKind, Write};
use tower_api_key::{KeyId, KeyRecord, Realm, Timestamp};
use tower_api_key_sqlite_schema::failure;
use tower_api_key_sqlite_schema::records::{INSERT, UPDATE, UPDATE_UNDESCRIBED, USE};

use super::acting::acting;
use super::limit;
use super::place::Place;
use super::schema::require_intact;

/// Applies a change, whole or not at all.
pub(super) fn commit(
    connection: &mut Connection,
    place: &Place,
    change: &Change,
) -> Result<(), StoreError> {
    let transaction = begin(connection, place)?;
    // A change without writes is a question about its limits.
    if !change.writes().is_empty() {
        acting(&transaction, place, change.actor(), |transaction| {
            apply(transaction, place, change)
        })?;
    }
    for limit in change.limits() {
        if !limit::holds(&transaction, limit).map_err(|error| error.at(place))? {
            return Err(StoreErrorKind::TooManyKeys.into());
        }
    }
    transaction.commit().map_err(|error| place.sqlite(error))
}

/// New records come last, so that no write finds a record of another write of the change.
fn apply(transaction: &Transaction<'_>, place: &Place, change: &Change) -> Result<(), StoreError> {
    for write in change.writes() {
        if let Expected::Version(version) = write.expected {
            update(transaction, place, write, version)?;
        }
    }
    for write in change.writes() {
        if write.expected == Expected::Absent {
            insert(transaction, place, &write.record)?;
        }
    }
    Ok(())
}

/// Moves the last uses of keys forward.
pub(super) fn record_uses(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    uses: &[(KeyId, Timestamp)],
) -> Result<(), StoreError> {
    let transaction = begin(connection, place)?;
    for &(id, at) in uses {
        let at = column_time(at)?;
        transaction
            .prepare_cached(USE)
            .and_then(|mut statement| statement.execute(params![id.as_str(), realm.as_str(), at]))
            .map_err(|error| place.sqlite(error))?;
    }
    transaction.commit().map_err(|error| place.sqlite(error))
}

pub(super) fn begin<'a>(
    connection: &'a mut Connection,
    place: &Place,
) -> Result<Transaction<'a>, StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| place.sqlite(error))?;
    require_intact(&transaction, place)?;
    Ok(transaction)
}

fn insert(
    transaction: &Transaction<'_>,
    place: &Place,
    record: &KeyRecord,
) -> Result<(), StoreError> {
    match put(transaction, &INSERT, record, None)? {
        Ok(_) => Ok(()),
        Err(error) if is_taken(&error) => Err(StoreErrorKind::Duplicate.into()),
        Err(error) => Err(place.sqlite(error)),
    }
}

fn update(
    transaction: &Transaction<'_>,
    place: &Place,
    write: &Write,
    version: u64,
) -> Result<(), StoreError> {
    // No row has a version that a column cannot hold.
    let Ok(expected) = i64::try_from(version) else {
        return Err(StoreErrorKind::Conflict.into());
    };
    let sql = if write.describes() {
        &UPDATE
    } else {
        &UPDATE_UNDESCRIBED
    };
    match put(transaction, sql, &write.record, Some(expected))? {
        Ok(1) => Ok(()),
        Ok(_) => Err(StoreErrorKind::Conflict.into()),
        Err(error) => Err(place.sqlite(error)),
    }
}

/// The number of rows that were written, or the error of SQLite.
fn put(
    transaction: &Transaction<'_>,
    sql: &str,
    record: &KeyRecord,
    expected: Option<i64>,
) -> Result<Result<usize, rusqlite::Error>, StoreError> {
    let row = Row::of(record)?;
    let realm = ToSqlOutput::from(record.realm().as_str());
    let columns = row.values().map(|value| match value {
        ColumnValue::Text(Some(text)) => ToSqlOutput::from(text),
        ColumnValue::Integer(Some(number)) => ToSqlOutput::from(number),
        ColumnValue::Blob(bytes) => ToSqlOutput::from(bytes),
        ColumnValue::Text(None) | ColumnValue::Integer(None) => ToSqlOutput::from(Null),
    });
    // A new row expects no version.
    let values = [realm]
        .into_iter()
        .chain(columns)
        .chain(expected.map(ToSqlOutput::from));
    Ok(transaction
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params_from_iter(values))))
}

/// Whether an insertion met a row of the same id or digest.
fn is_taken(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(it, said) => {
            failure::is_taken(it.extended_code, said.as_deref())
        }
        _ => false,
    }
}
