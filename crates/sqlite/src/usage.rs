//! What keys were used for.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tower_api_key::store::sql::UsageRow;
use tower_api_key::store::{KeyUsage, StoreError};
use tower_api_key::{KeyId, Realm};
use tower_api_key_sqlite_schema::usages::{IS_THERE, PUT, SELECT, SELECT_BETWEEN, Walk};

use super::place::Place;
use super::read::Unread;
use super::schema::require_intact;
use super::write::begin;

/// Adds to what is known. The transaction has the write lock before it reads.
pub(super) fn record(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    usages: &[(KeyId, KeyUsage)],
) -> Result<(), StoreError> {
    let transaction = begin(connection, place)?;
    for (id, usage) in usages {
        let known = known_of_key(&transaction, realm, *id);
        let Some(before) = known.map_err(|error| place.sqlite(error))? else {
            continue;
        };
        let mut after = before.clone();
        after.add(usage);
        if after != before {
            let row = UsageRow::of(&after)?;
            put(&transaction, realm, *id, &row).map_err(|error| place.sqlite(error))?;
        }
    }
    transaction.commit().map_err(|error| place.sqlite(error))
}

pub(super) fn list(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    ids: &[KeyId],
) -> Result<Vec<KeyUsage>, Unread> {
    // One state of the store for all of them.
    let reading = connection.transaction()?;
    require_intact(&reading, place)?;
    let mut statement = reading.prepare_cached(SELECT_BETWEEN)?;
    let mut walk = Walk::of(ids);
    while let Some((first, last, most)) = walk.next() {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let range = params![realm.as_str(), first.as_str(), last.as_str(), most];
        let rows = statement.query_map(range, |row| Ok((row.get(6)?, usage_of(row)?)))?;
        walk.take(&rows.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(walk.found())
}

/// `None` if there is no such key in the realm.
fn known_of_key(
    transaction: &Transaction<'_>,
    realm: &Realm,
    id: KeyId,
) -> Result<Option<KeyUsage>, rusqlite::Error> {
    let known = known(transaction, realm, id)?;
    if known.is_some() {
        return Ok(known);
    }
    let mut statement = transaction.prepare_cached(IS_THERE)?;
    let is_there = statement.exists(params![id.as_str(), realm.as_str()])?;
    Ok(is_there.then(KeyUsage::new))
}

fn known(
    transaction: &Transaction<'_>,
    realm: &Realm,
    id: KeyId,
) -> Result<Option<KeyUsage>, rusqlite::Error> {
    let mut statement = transaction.prepare_cached(SELECT)?;
    let known = statement.query_row(params![realm.as_str(), id.as_str()], usage_of);
    known.optional()
}

/// A row that another program has damaged says nothing. It is written anew at the next use: no verdict depends on it.
fn usage_of(row: &Row<'_>) -> Result<KeyUsage, rusqlite::Error> {
    let row = UsageRow {
        scopes: row.get(0)?,
        scopes_first: row.get(1)?,
        scopes_last: row.get(2)?,
        networks: row.get(3)?,
        networks_first: row.get(4)?,
        networks_further: row.get(5)?,
    };
    Ok(row.usage().unwrap_or_default())
}

fn put(
    transaction: &Transaction<'_>,
    realm: &Realm,
    id: KeyId,
    row: &UsageRow,
) -> Result<(), rusqlite::Error> {
    let mut statement = transaction.prepare_cached(PUT)?;
    statement.execute(params![
        realm.as_str(),
        id.as_str(),
        row.scopes,
        row.scopes_first,
        row.scopes_last,
        row.networks,
        row.networks_first,
        row.networks_further,
    ])?;
    Ok(())
}
