//! Whether the tables of keys and their guards are those that the migrations make.

use std::sync::OnceLock;

use rusqlite::Connection;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::connection::{APPLICATION_ID, MIGRATIONS, number, require_newest};
use super::failure::Place;

/// The parts that the migrations make and the store relies on. Indexes are not included, nor triggers
/// and indexes that others add: without its own index, a store is slow but correct.
const PARTS: &str = "SELECT name, type, sql FROM main.sqlite_schema \
     WHERE (type IN ('table', 'view') AND name IN ('api_keys', 'api_key_scope_sets')) \
     OR (type = 'trigger' AND tbl_name = 'api_keys') ORDER BY name";

/// The name, the type and the statement of a part of the schema.
type Part = (String, String, String);

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
    let missing = expected(place)?.iter().find(|part| !found.contains(part));
    match missing {
        None => Ok(()),
        Some((name, kind, _)) if kind == "trigger" => Err(place.error(
            StoreErrorKind::Schema,
            &format!(
                "its guard {name}, a trigger, is missing, or not as this version of the crate made \
                 it; put it back, or restore the file from a backup"
            ),
        )),
        Some((name, _, _)) => {
            let table = match name.as_str() {
                "api_keys" => "table of keys",
                _ => "table of scopes",
            };
            Err(place.error(
                StoreErrorKind::Schema,
                &format!(
                    "its {table} is missing, or not as this version of the crate made it; restore \
                     the file from a backup"
                ),
            ))
        }
    }
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
    let mut made = made.map_err(|error| place.sqlite(error))?;
    // The tables first: if one is missing, its triggers are missing too.
    made.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
    Ok(EXPECTED.get_or_init(|| made))
}

fn parts(connection: &Connection) -> Result<Vec<Part>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(PARTS)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}
