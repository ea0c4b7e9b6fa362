//! The removal of old changes, in steps that let others write.

use std::time::Duration;

use futures_timer::Delay;
use rusqlite::{Connection, params};
use tower_api_key::store::StoreError;

use super::position::Mark;
use crate::SqliteStore;
use crate::place::Place;
use crate::write::begin;

/// How many changes a step removes, and the rest between two steps, as for a purge.
const AT_ONCE: usize = 5_000;
const REST: Duration = Duration::from_millis(120);

/// The newest changes stay, which the database holds to, too.
const KEPT: i64 = 100_000;

/// The place itself stays: a reader that is there finds it.
const DELETE: &str = "DELETE FROM api_key_changes WHERE seq IN (
    SELECT seq FROM api_key_changes
    WHERE seq < ?1 AND seq <= (SELECT max(seq) FROM api_key_changes) - ?2 ORDER BY seq LIMIT ?3)";

/// Whether there is anything to remove, so that most calls take no lock.
const ANY: &str = "SELECT EXISTS (SELECT 1 FROM api_key_changes
    WHERE seq < ?1 AND seq <= (SELECT max(seq) FROM api_key_changes) - ?2)";

pub(super) async fn forget(store: &SqliteStore, mark: Mark) -> Result<(), StoreError> {
    // A process that may not write leaves it to one that may.
    if store.0.writer.is_none() {
        return Ok(());
    }
    let any = store.follow(move |reading, _, _| {
        let any = reading
            .prepare_cached(ANY)?
            .query_row(params![mark.seq, KEPT], |row| row.get(0));
        Ok(any?)
    });
    if !any.await? {
        return Ok(());
    }
    loop {
        let removed = store
            .write(move |connection, place| step(connection, place, mark))
            .await?;
        if removed < AT_ONCE {
            return Ok(());
        }
        Delay::new(REST).await;
    }
}

fn step(connection: &mut Connection, place: &Place, mark: Mark) -> Result<usize, StoreError> {
    let fail = |error| place.sqlite(error);
    let transaction = begin(connection, place)?;
    // Of another history, whose readers this one does not have.
    if !mark.is_in(&transaction).map_err(fail)? {
        return Ok(0);
    }
    let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
    let removed = transaction
        .prepare_cached(DELETE)
        .and_then(|mut statement| statement.execute(params![mark.seq, KEPT, most]))
        .map_err(fail)?;
    transaction.commit().map_err(fail)?;
    Ok(removed)
}
