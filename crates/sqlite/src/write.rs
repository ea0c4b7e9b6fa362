//! Statements that write, each in a transaction that takes the write lock at once.

use std::sync::LazyLock;

use rusqlite::types::{Null, ToSqlOutput};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params, params_from_iter};
use tower_api_key::store::sql::{Column, ColumnValue, Row, column_time};
use tower_api_key::store::{Change, Expected, StoreError, StoreErrorKind, Write};
use tower_api_key::{KeyId, KeyRecord, Realm, Timestamp};

use super::acting::acting;
use super::limit;
use super::place::Place;
use super::schema::require_intact;

/// `realm` first, then the columns of a row.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=WIDTH).map(|place| format!("?{place}")).collect();
    let names = Row::NAMES;
    format!(
        "INSERT INTO api_keys (realm, {names}) VALUES ({})",
        places.join(", ")
    )
});

static UPDATE: LazyLock<String> = LazyLock::new(|| updating(&[]));
static UPDATE_UNDESCRIBED: LazyLock<String> = LazyLock::new(|| updating(&["label", "metadata"]));

/// It puts every column except these, even those that never change: the database then refuses a change that
/// would otherwise be lost. Those that find the row are compared.
fn updating(except: &[&str]) -> String {
    let columns = Row::COLUMNS.iter().zip(2..);
    let (found, set): (Vec<_>, Vec<_>) = columns
        .filter(|(column, _)| !except.contains(&column.name))
        .partition(|(column, _)| FIND_BY.contains(&column.name));
    let equal = |columns: Vec<(&Column, usize)>, between| {
        let equal = |(column, place): (&Column, usize)| format!("{} = ?{place}", column.name);
        columns
            .into_iter()
            .map(equal)
            .collect::<Vec<_>>()
            .join(between)
    };
    format!(
        "UPDATE api_keys SET {} WHERE realm = ?1 AND {} AND version = ?{}",
        equal(set, ", "),
        equal(found, " AND "),
        WIDTH + 1
    )
}

/// The realm and the columns of a row.
const WIDTH: usize = 1 + Row::COLUMNS.len();
const FIND_BY: [&str; 4] = ["digest", "id", "subject", "lineage"];

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
            .prepare_cached(
                "UPDATE api_keys SET last_used_at = ?3 WHERE id = ?1 AND realm = ?2 \
                 AND (last_used_at IS NULL OR last_used_at < ?3)",
            )
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

/// The message of the trigger against replacements.
const TAKEN: &str = "api_keys: the id or the digest is taken";

/// Whether an insertion met a row of the same id or digest: by the constraint, or by the trigger with
/// that message.
fn is_taken(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{
        SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_TRIGGER, SQLITE_CONSTRAINT_UNIQUE,
    };

    let rusqlite::Error::SqliteFailure(failure, said) = error else {
        return false;
    };
    failure.code == ErrorCode::ConstraintViolation
        && match failure.extended_code {
            SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE => true,
            SQLITE_CONSTRAINT_TRIGGER => said.as_deref() == Some(TAKEN),
            _ => false,
        }
}
