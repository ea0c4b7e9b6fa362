//! The schema of this crate: its migrations, and whether a file has the tables and guards that they make.

use std::sync::OnceLock;

use rusqlite::{Connection, TransactionBehavior};
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key_sqlite_schema::schema::{
    APPLICATION_ID, MIGRATIONS, PARTS, Part, VERSION, mark, require_parts, too_new,
};

use super::place::Place;

/// Refuses a schema of another version, the database of another application, and one in which a table or
/// a guard is missing or not this crate's. An empty table in the place of the keys would otherwise be a
/// store in which every key is unknown, and without its guards a statement by hand could widen a key.
pub(super) fn require_intact(connection: &Connection, place: &Place) -> Result<(), StoreError> {
    if number(connection, "application_id", place)? != APPLICATION_ID {
        return Err(place.error(
            StoreErrorKind::Schema,
            "this is the database of another application; name another file",
        ));
    }
    require_newest(number(connection, "user_version", place)?, place)?;
    let found = parts(connection).map_err(|error| place.sqlite(error))?;
    require_parts(expected(place)?, &found).map_err(|advice| of_schema(place, &advice))
}

fn of_schema(place: &Place, advice: &str) -> StoreError {
    place.error(StoreErrorKind::Schema, advice)
}

/// The parts that the migrations make, tried once in memory.
fn expected(place: &Place) -> Result<&'static [Part], StoreError> {
    static EXPECTED: OnceLock<Vec<Part>> = OnceLock::new();
    if let Some(expected) = EXPECTED.get() {
        return Ok(expected);
    }
    let made = Connection::open_in_memory().and_then(|connection| {
        for migration in MIGRATIONS {
            connection.execute_batch(migration)?;
        }
        parts(&connection)
    });
    let made = made.map_err(|error| place.sqlite(error))?;
    Ok(EXPECTED.get_or_init(|| made))
}

fn parts(connection: &Connection) -> Result<Vec<Part>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(PARTS)?;
    let rows = statement.query_map([], |row| {
        let (name, kind, sql) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Part { name, kind, sql })
    })?;
    rows.collect()
}

/// The version of the schema, 0 for a file that has none yet. Refuses a file that is not a store of
/// keys.
pub(super) fn version(connection: &Connection, place: &Place) -> Result<i64, StoreError> {
    // One transaction, so that another process that creates the schema is seen whole or not.
    let reading = connection
        .unchecked_transaction()
        .map_err(|error| place.sqlite(error))?;
    let version = number(&reading, "user_version", place)?;
    let application = number(&reading, "application_id", place)?;
    let tables: i64 = reading
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| place.sqlite(error))?;
    let blank = (version, application, tables) == (0, 0, 0);
    if !blank && application != APPLICATION_ID {
        return Err(place.error(
            StoreErrorKind::Schema,
            "this is the database of another application; name another file",
        ));
    }
    if version > VERSION {
        return Err(of_schema(place, &too_new(version)));
    }
    Ok(version)
}

pub(super) fn require_newest(version: i64, place: &Place) -> Result<(), StoreError> {
    tower_api_key_sqlite_schema::schema::require_newest(version)
        .map_err(|advice| of_schema(place, &advice))
}

pub(super) fn number(
    connection: &Connection,
    pragma: &str,
    place: &Place,
) -> Result<i64, StoreError> {
    connection
        .prepare_cached(&format!("PRAGMA {pragma}"))
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(|error| place.sqlite(error))
}

/// Runs the migrations that the file has not seen, all or none of them.
pub(super) fn migrate(
    connection: &mut Connection,
    place: &Place,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| place.sqlite(error))?;
    // Read again under the lock: another process may have been first.
    let version = number(&transaction, "user_version", place)?;
    let seen = usize::try_from(version).unwrap_or(usize::MAX);
    for migration in migrations.iter().skip(seen) {
        transaction
            .execute_batch(migration)
            .map_err(|error| place.sqlite(error))?;
    }
    if seen < migrations.len() {
        transaction
            .execute_batch(&mark(migrations.len()))
            .map_err(|error| place.sqlite(error))?;
    }
    transaction.commit().map_err(|error| place.sqlite(error))
}
