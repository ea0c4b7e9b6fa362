//! Whose changes a transaction makes, for the triggers of the history.

use rusqlite::{Connection, Transaction, params};
use tower_api_key::Actor;
use tower_api_key::store::StoreError;
use tower_api_key_sqlite_schema::records::ACT;

use super::place::Place;

/// Writes in a transaction, with the actor that the triggers note. The statement is one of a page that every
/// connection has in memory, and is undone before the commit, so that no other program acts as this one.
pub(super) fn acting<T>(
    transaction: &Transaction<'_>,
    place: &Place,
    actor: Option<&Actor>,
    write: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    act(transaction, true, actor, None).map_err(|error| place.sqlite(error))?;
    let written = write(transaction)?;
    act(transaction, false, None, None).map_err(|error| place.sqlite(error))?;
    Ok(written)
}

pub(super) fn act(
    transaction: &Connection,
    by_store: bool,
    actor: Option<&Actor>,
    forget_before: Option<i64>,
) -> Result<(), rusqlite::Error> {
    let actor = actor.map(Actor::as_str);
    let mut act = transaction.prepare_cached(ACT)?;
    act.execute(params![by_store, actor, forget_before])
        .map(drop)
}
