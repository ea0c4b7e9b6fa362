//! Statements that write, each in a transaction that takes the write lock at once.

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::connection::require_known;
use super::failure::Place;
use super::read;
use crate::access::realm::Realm;
use crate::key::{KeyId, KeyPrefix};
use crate::lifecycle::{Change, Expected};
use crate::record::KeyRecord;
use crate::store::row::{column_metadata, column_revoked_at, column_time, column_version};
use crate::store::{StoreError, StoreErrorKind};
use crate::time::Timestamp;

const INSERT: &str = "INSERT INTO api_keys (id, realm, digest, pepper_version, subject, scopes, \
     issued_at, not_before, expires_at, retire_at, lineage, generation, version, revoked_at, \
     revocation_reason, label, metadata, prefix) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

/// It puts every column, even those that never change: the database then refuses a change that would
/// otherwise be lost.
const UPDATE: &str = "UPDATE api_keys SET pepper_version = ?4, scopes = ?6, issued_at = ?7, \
     not_before = ?8, expires_at = ?9, retire_at = ?10, generation = ?12, version = ?13, \
     revoked_at = ?14, revocation_reason = ?15, label = ?16, metadata = ?17, prefix = ?18 \
     WHERE digest = ?3 AND id = ?1 AND realm = ?2 AND subject = ?5 AND lineage = ?11 \
     AND version = ?19";

/// Applies a change, whole or not at all.
pub(super) fn commit(
    connection: &mut Connection,
    place: &Place,
    change: &Change,
) -> Result<(), StoreError> {
    let transaction = begin(connection, place)?;
    for keys in change.subjects() {
        if !read::has_exactly(&transaction, keys).map_err(|error| error.at(place))? {
            return Err(StoreErrorKind::Conflict.into());
        }
    }
    // New records come last, so that no write finds a record of another write of the change.
    for write in change.writes() {
        if let Expected::Version(version) = write.expected {
            update(&transaction, place, &write.record, version)?;
        }
    }
    for write in change.writes() {
        if write.expected == Expected::Absent {
            insert(&transaction, place, &write.record)?;
        }
    }
    transaction.commit().map_err(|error| place.sqlite(error))
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
    require_known(&transaction, place)?;
    Ok(transaction)
}

fn insert(
    transaction: &Transaction<'_>,
    place: &Place,
    record: &KeyRecord,
) -> Result<(), StoreError> {
    match put(transaction, INSERT, record, None)? {
        Ok(_) => Ok(()),
        Err(error) if is_taken(&error) => Err(StoreErrorKind::Duplicate.into()),
        Err(error) => Err(place.sqlite(error)),
    }
}

fn update(
    transaction: &Transaction<'_>,
    place: &Place,
    record: &KeyRecord,
    version: u64,
) -> Result<(), StoreError> {
    // No row has a version that a column cannot hold.
    let Ok(expected) = i64::try_from(version) else {
        return Err(StoreErrorKind::Conflict.into());
    };
    match put(transaction, UPDATE, record, Some(expected))? {
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
    let (issued_at, not_before) = (record.issued_at(), record.not_before());
    let (issued_at, not_before) = (column_time(issued_at)?, column_time(not_before)?);
    let expires_at = record.expires_at().map(column_time).transpose()?;
    let retire_at = record.retire_at().map(column_time).transpose()?;
    let version = column_version(record.version())?;
    let revocation = record.revocation();
    let revoked_at = revocation.map(|it| column_revoked_at(it.at));
    let metadata = column_metadata(record.metadata())?;
    let (id, lineage) = (record.id(), record.lineage());
    let columns = params![
        id.as_str(),
        record.realm().as_str(),
        record.digest().as_bytes(),
        record.pepper_version(),
        record.subject(),
        record.scopes().as_str(),
        issued_at,
        not_before,
        expires_at,
        retire_at,
        lineage.as_str(),
        record.generation(),
        version,
        revoked_at,
        revocation.map(|it| it.reason.as_str()),
        record.label(),
        metadata,
        record.prefix().map(KeyPrefix::as_str),
        expected,
    ];
    // A new row expects no version.
    let columns = if expected.is_some() {
        columns
    } else {
        &columns[..columns.len() - 1]
    };
    Ok(transaction
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(columns)))
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
