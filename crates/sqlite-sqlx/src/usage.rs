//! What keys were used for.

use sqlx::Error as SqlError;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tower_api_key::store::sql::UsageRow;
use tower_api_key::store::{KeyUsage, StoreError};
use tower_api_key::{KeyId, Realm};
use tower_api_key_sqlite_schema::usages::{IS_THERE, PUT, SELECT, SELECT_BETWEEN, Walk};

use super::place::Place;
use super::statement::{asked, column, first};

/// Adds to what is known, in a transaction that has the write lock.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    usages: &[(KeyId, KeyUsage)],
) -> Result<(), StoreError> {
    for (id, usage) in usages {
        let known = known_of_key(connection, realm, *id).await;
        let Some(before) = known.map_err(|error| place.sqlx(error))? else {
            continue;
        };
        let mut after = before.clone();
        after.add(usage);
        if after != before {
            let row = UsageRow::of(&after)?;
            let put = put(connection, realm, *id, row).await;
            put.map_err(|error| place.sqlx(error))?;
        }
    }
    Ok(())
}

/// What is known of these keys, in a transaction.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    ids: &[KeyId],
) -> Result<Vec<KeyUsage>, StoreError> {
    let found = walked(connection, realm, ids).await;
    found.map_err(|error| place.sqlx(error))
}

async fn walked(
    connection: &mut SqliteConnection,
    realm: &Realm,
    ids: &[KeyId],
) -> Result<Vec<KeyUsage>, SqlError> {
    let mut walk = Walk::of(ids);
    while let Some((first, last, most)) = walk.next() {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let query = asked(SELECT_BETWEEN).bind(realm.as_str().to_owned());
        let query = query.bind(first.to_string()).bind(last.to_string());
        let rows = query.bind(most).fetch_all(&mut *connection).await?;
        let rows = rows.iter().map(|row| Ok((column(row, 6)?, usage_of(row)?)));
        walk.take(&rows.collect::<Result<Vec<_>, SqlError>>()?);
    }
    Ok(walk.found())
}

/// `None` if there is no such key in the realm.
async fn known_of_key(
    connection: &mut SqliteConnection,
    realm: &Realm,
    id: KeyId,
) -> Result<Option<KeyUsage>, SqlError> {
    let known = known(connection, realm, id).await?;
    if known.is_some() {
        return Ok(known);
    }
    let is_there = asked(IS_THERE).bind(id.to_string());
    let is_there = first(connection, is_there.bind(realm.as_str().to_owned())).await?;
    Ok(is_there.map(|_| KeyUsage::new()))
}

async fn known(
    connection: &mut SqliteConnection,
    realm: &Realm,
    id: KeyId,
) -> Result<Option<KeyUsage>, SqlError> {
    let query = asked(SELECT).bind(realm.as_str().to_owned());
    let row = first(connection, query.bind(id.to_string())).await?;
    row.as_ref().map(usage_of).transpose()
}

/// A row that another program has damaged says nothing. It is written anew at the next use: no verdict depends on it.
fn usage_of(row: &SqliteRow) -> Result<KeyUsage, SqlError> {
    let row = UsageRow {
        scopes: column(row, 0)?,
        scopes_first: column(row, 1)?,
        scopes_last: column(row, 2)?,
        networks: column(row, 3)?,
        networks_first: column(row, 4)?,
        networks_further: column(row, 5)?,
    };
    Ok(row.usage().unwrap_or_default())
}

async fn put(
    connection: &mut SqliteConnection,
    realm: &Realm,
    id: KeyId,
    row: UsageRow,
) -> Result<(), SqlError> {
    let put = asked(PUT).bind(realm.as_str().to_owned());
    let put = put.bind(id.to_string()).bind(row.scopes);
    let put = put.bind(row.scopes_first).bind(row.scopes_last);
    let put = put.bind(row.networks).bind(row.networks_first);
    let put = put.bind(row.networks_further);
    put.execute(connection).await.map(drop)
}
