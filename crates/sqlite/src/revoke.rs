//! Revocations: statements that read an id, a lineage or a subject as they are, and parse nothing.

use rusqlite::{Connection, Row, Transaction, params};
use tower_api_key::store::sql::revocation_time;
use tower_api_key::store::{Ended, Revoked, StoreError, Target};
use tower_api_key::{Actor, Realm, Revocation};

use super::acting::acting;
use super::place::Place;
use super::write::begin;

/// The statements of one kind of target. `?1` is the realm, `?2` the target's id or subject.
struct Statements {
    end: &'static str,
    exists: &'static str,
}

macro_rules! statements {
    ($condition:literal) => {
        Statements {
            // The version rises by one, unless there is no higher one.
            end: concat!(
                "UPDATE api_keys SET revoked_at = ?3, revocation_reason = ?4, version = \
                 CASE WHEN version < 1 THEN 1 \
                 WHEN version < 9223372036854775807 THEN version + 1 ELSE version END \
                 WHERE revoked_at IS NULL AND ",
                $condition,
                " RETURNING id, subject"
            ),
            exists: concat!(
                "SELECT EXISTS (SELECT 1 FROM api_keys WHERE ",
                $condition,
                ")"
            ),
        }
    };
}

const BY_ID: Statements = statements!("realm = ?1 AND id = ?2");
/// The `+` keeps SQLite from the index of subjects, which begins with the realm.
const BY_LINEAGE: Statements = statements!(
    "+realm = ?1 AND lineage = \
     coalesce((SELECT lineage FROM api_keys WHERE realm = ?1 AND id = ?2), ?2)"
);
const BY_SUBJECT: Statements = statements!("realm = ?1 AND subject = ?2");

/// Ends the keys of the target, in one transaction without another writer.
pub(super) fn revoke(
    connection: &mut Connection,
    place: &Place,
    realm: &Realm,
    target: &Target,
    revocation: Revocation,
    by: Option<&Actor>,
) -> Result<Revoked, StoreError> {
    let (statements, name) = match target {
        Target::Key(id) => (BY_ID, id.as_str()),
        Target::Lineage(id) => (BY_LINEAGE, id.as_str()),
        Target::Subject(subject) => (BY_SUBJECT, subject.as_str()),
    };
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
