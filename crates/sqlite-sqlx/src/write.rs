//! Statements that write, in a transaction that began before.

use std::collections::HashSet;

use sqlx::Error as SqlError;
use sqlx::sqlite::{SqliteConnection, SqliteQueryResult};
use tower_api_key::store::sql::{ColumnValue, Row, column_time, revocation_time};
use tower_api_key::store::{
    Change, Ended, Expected, KeyLimit, Revoked, StoreError, StoreErrorKind, Target, Write,
};
use tower_api_key::{Actor, KeyId, KeyRecord, Realm, Revocation, Timestamp};
use tower_api_key_sqlite_schema::failure::is_taken;
use tower_api_key_sqlite_schema::records::{ACT, INSERT, UPDATE, UPDATE_UNDESCRIBED, USE};
use tower_api_key_sqlite_schema::revocations::Statements;
use tower_api_key_sqlite_schema::{limits, purges};

use super::place::{Place, code};
use super::statement::{asked, column, first};

/// Says whose changes the triggers note, until [`act_no_more`].
pub(super) async fn act(
    connection: &mut SqliteConnection,
    place: &Place,
    actor: Option<&Actor>,
    forget_before: Option<i64>,
) -> Result<(), StoreError> {
    let actor = actor.map(|actor| actor.as_str().to_owned());
    let act = asked(ACT).bind(true).bind(actor).bind(forget_before);
    done(act.execute(connection).await, place)
}

/// Before the commit, so that no other program acts as this one.
pub(super) async fn act_no_more(
    connection: &mut SqliteConnection,
    place: &Place,
) -> Result<(), StoreError> {
    let act = asked(ACT)
        .bind(false)
        .bind(None::<String>)
        .bind(None::<i64>);
    done(act.execute(connection).await, place)
}

fn done(executed: Result<SqliteQueryResult, SqlError>, place: &Place) -> Result<(), StoreError> {
    executed.map(drop).map_err(|error| place.sqlx(error))
}

/// Applies a change. If it fails, the transaction is to be undone.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    place: &Place,
    change: &Change,
) -> Result<(), StoreError> {
    // A change without writes is a question about its limits.
    if !change.writes().is_empty() {
        act(connection, place, change.actor(), None).await?;
        apply(connection, place, change).await?;
        act_no_more(connection, place).await?;
    }
    for limit in change.limits() {
        if !holds(connection, place, limit).await? {
            return Err(StoreErrorKind::TooManyKeys.into());
        }
    }
    Ok(())
}

/// New records come last, so that no write finds a record of another write of the change.
async fn apply(
    connection: &mut SqliteConnection,
    place: &Place,
    change: &Change,
) -> Result<(), StoreError> {
    for write in change.writes() {
        if let Expected::Version(version) = write.expected {
            update(connection, place, write, version).await?;
        }
    }
    for write in change.writes() {
        if write.expected == Expected::Absent {
            insert(connection, place, &write.record).await?;
        }
    }
    Ok(())
}

async fn insert(
    connection: &mut SqliteConnection,
    place: &Place,
    record: &KeyRecord,
) -> Result<(), StoreError> {
    let Err(error) = put(connection, &INSERT, record, None).await? else {
        return Ok(());
    };
    let message = error
        .as_database_error()
        .map(sqlx::error::DatabaseError::message);
    if code(&error).is_some_and(|code| is_taken(code, message)) {
        return Err(StoreErrorKind::Duplicate.into());
    }
    Err(place.sqlx(error))
}

async fn update(
    connection: &mut SqliteConnection,
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
    match put(connection, sql, &write.record, Some(expected)).await? {
        Ok(1) => Ok(()),
        Ok(_) => Err(StoreErrorKind::Conflict.into()),
        Err(error) => Err(place.sqlx(error)),
    }
}

/// The number of rows that were written, or the error of SQLite.
async fn put(
    connection: &mut SqliteConnection,
    sql: &'static str,
    record: &KeyRecord,
    expected: Option<i64>,
) -> Result<Result<u64, SqlError>, StoreError> {
    let row = Row::of(record)?;
    let mut put = asked(sql).bind(record.realm().as_str().to_owned());
    for value in row.values() {
        put = match value {
            ColumnValue::Text(text) => put.bind(text.map(str::to_owned)),
            ColumnValue::Integer(number) => put.bind(number),
            ColumnValue::Blob(bytes) => put.bind(bytes.to_vec()),
        };
    }
    // A new row expects no version.
    if let Some(expected) = expected {
        put = put.bind(expected);
    }
    let put = put.execute(connection).await;
    Ok(put.map(|done| done.rows_affected()))
}

/// Whether a limit holds in this transaction. It has the lock of the file, so no other writer changes the number.
async fn holds(
    connection: &mut SqliteConnection,
    place: &Place,
    limit: &KeyLimit,
) -> Result<bool, StoreError> {
    let fail = |error| place.sqlx(error);
    let of_subject = |sql: &'static str| {
        let asked = asked(sql).bind(limit.realm().as_str().to_owned());
        asked.bind(limit.subject().as_str().to_owned())
    };
    let at = column_time(limit.at())?;
    let kept = first(connection, of_subject(limits::KEPT))
        .await
        .map_err(fail)?;
    if let Some(row) = &kept {
        let counted_at: i64 = column(row, 0).map_err(fail)?;
        let keys: i64 = column(row, 1).map_err(fail)?;
        if counted_at <= at && u64::try_from(keys).is_ok_and(|keys| keys <= limit.most() as u64) {
            return Ok(true);
        }
    }
    let living = of_subject(limits::LIVING).bind(at);
    let rows = living.fetch_all(&mut *connection).await.map_err(fail)?;
    let mut lineages = HashSet::new();
    for row in &rows {
        lineages.insert(column::<&str>(row, 0).map_err(fail)?);
        if lineages.len() > limit.most() {
            return Ok(false);
        }
    }
    if rows.len() > limits::FEW {
        let keys = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let keep = of_subject(limits::KEEP).bind(at).bind(keys);
        done(keep.execute(connection).await, place)?;
    } else if kept.is_some() {
        done(of_subject(limits::FORGET).execute(connection).await, place)?;
    }
    Ok(true)
}

/// Ends the keys of the target, whatever else their rows hold.
pub(super) async fn revoke(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    target: &Target,
    revocation: Revocation,
    by: Option<&Actor>,
) -> Result<Revoked, StoreError> {
    let fail = |error| place.sqlx(error);
    let (statements, name) = Statements::of(target);
    let named = |sql: &'static str| {
        let asked = asked(sql).bind(realm.as_str().to_owned());
        asked.bind(name.to_owned())
    };
    act(connection, place, by, None).await?;
    let end = named(statements.end).bind(revocation_time(revocation.at));
    let end = end.bind(revocation.reason.as_str());
    let rows = end.fetch_all(&mut *connection).await.map_err(fail)?;
    let ended: Vec<Ended> = rows.iter().map(seen).collect();
    let found = if ended.is_empty() {
        let exists = first(connection, named(statements.exists)).await;
        let exists = exists.map_err(fail)?;
        let exists: Option<i64> = exists
            .map(|row| column(&row, 0))
            .transpose()
            .map_err(fail)?;
        exists == Some(1)
    } else {
        true
    };
    act_no_more(connection, place).await?;
    Ok(Revoked::new(found, ended))
}

/// The readable parts of a row.
fn seen(row: &sqlx::sqlite::SqliteRow) -> Ended {
    let text = |place| column::<Option<&str>>(row, place).ok().flatten();
    let id = text(0).and_then(|id| id.parse().ok());
    Ended::new(id, text(1).map(str::to_owned))
}

/// Moves the last uses of keys forward.
pub(super) async fn record_uses(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    uses: &[(KeyId, Timestamp)],
) -> Result<(), StoreError> {
    for &(id, at) in uses {
        let forward = asked(USE).bind(id.to_string());
        let forward = forward
            .bind(realm.as_str().to_owned())
            .bind(column_time(at)?);
        done(forward.execute(&mut *connection).await, place)?;
    }
    Ok(())
}

/// Removes at most a step's records that ended by a time, and returns how many there were.
pub(super) async fn purge(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    ended_by: i64,
    by: Option<&Actor>,
) -> Result<u64, StoreError> {
    act(connection, place, by, None).await?;
    let most = i64::try_from(purges::AT_ONCE).unwrap_or(i64::MAX);
    let delete = asked(purges::DELETE).bind(realm.as_str().to_owned());
    let delete = delete.bind(ended_by).bind(most);
    let removed = delete.execute(&mut *connection).await;
    let removed = removed.map_err(|error| place.sqlx(error))?;
    act_no_more(connection, place).await?;
    Ok(removed.rows_affected())
}
