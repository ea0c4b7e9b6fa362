//! The removal of records that ended, in steps that let others write.

use futures_timer::Delay;
use rusqlite::{Connection, params};
use tower_api_key::store::StoreError;
use tower_api_key::{Actor, Realm, Timestamp};
use tower_api_key_sqlite_schema::purges::{AT_ONCE, DELETE, REST};

use super::SqliteStore;
use super::acting::acting;
use super::place::Place;
use super::write::begin;

/// Removes the records that ended by this time, and returns how many there were. Each step is a separate
/// job, so that the commits that this process has queued meanwhile come before the next.
pub(super) async fn purge(
    store: &SqliteStore,
    realm: &Realm,
    ended_by: Timestamp,
    by: Option<&Actor>,
) -> Result<u64, StoreError> {
    let ended_by = i64::try_from(ended_by.as_unix()).unwrap_or(i64::MAX);
    let mut purged = 0;
    loop {
        let (realm, by) = (realm.clone(), by.cloned());
        let job = move |connection: &mut Connection, place: &Place| {
            step(connection, place, &realm, ended_by, by.as_ref())
        };
        let removed = store.write(job).await?;
        purged += removed as u64;
        if removed < AT_ONCE {
            return Ok(purged);
        }
        Delay::new(REST).await;
    }
}

fn step(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    ended_by: i64,
    by: Option<&Actor>,
) -> Result<usize, StoreError> {
    let transaction = begin(connection, place)?;
    let removed = acting(&transaction, place, by, |transaction| {
        transaction
            .prepare_cached(DELETE)
            .and_then(|mut statement| {
                let limit = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
                statement.execute(params![realm.as_str(), ended_by, limit])
            })
            .map_err(|error| place.sqlite(error))
    })?;
    transaction.commit().map_err(|error| place.sqlite(error))?;
    Ok(removed)
}
