//! Revocations: statements that read an id, a lineage or a subject as they are, and parse nothing.

use rusqlite::{Connection, Row, Transaction, params};
use tower_api_key::store::sql::revocation_time;
use tower_api_key::store::{Ended, Revoked, StoreError, Target};
use tower_api_key::{Actor, Realm, Revocation};
use tower_api_key_sqlite_schema::revocations::Statements;

use super::acting::acting;
use super::place::Place;
use super::write::begin;

/// Ends the keys of the target, in one transaction without another writer.
pub(super) fn revoke(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    target: &Target,
    revocation: Revocation,
    by: Option<&Actor>,
) -> Result<Revoked, StoreError> {
    let (statements, name) = Statements::of(target);
    let transaction = begin(connection, place)?;
    let revoked = acting(&transaction, place, by, |transaction| {
        run(transaction, &statements, realm, name, revocation).map_err(|error| place.sqlite(error))
    })?;
    transaction.commit().map_err(|error| place.sqlite(error))?;
    Ok(revoked)
}

fn run(
    transaction: &Transaction<'_>,
    statements: &Statements,
    realm: &Realm,
    name: &str,
    revocation: Revocation,
) -> Result<Revoked, rusqlite::Error> {
    let mut end = transaction.prepare_cached(statements.end)?;
    let (at, reason) = (revocation_time(revocation.at), revocation.reason.as_str());
    let ended = end
        .query_map(params![realm.as_str(), name, at, reason], |row| {
            Ok(seen(row))
        })?
        .collect::<Result<Vec<Ended>, _>>()?;
    let found = !ended.is_empty()
        || transaction
            .prepare_cached(statements.exists)?
            .query_row(params![realm.as_str(), name], |row| row.get(0))?;
    Ok(Revoked::new(found, ended))
}

/// The readable parts of a row.
fn seen(row: &Row<'_>) -> Ended {
    let text = |column| row.get_ref(column).ok()?.as_str().ok();
    let id = text(0).and_then(|id| id.parse().ok());
    Ended::new(id, text(1).map(str::to_owned))
}
