//! Whether the table of keys is the one that the migrations make.

use std::sync::OnceLock;

use rusqlite::{Connection, OptionalExtension};

use super::connection::{APPLICATION_ID, MIGRATIONS, number, require_newest};
use super::failure::Place;
use crate::store::{StoreError, StoreErrorKind};

const TABLE: &str = "SELECT type, sql FROM main.sqlite_schema WHERE name = 'api_keys'";

/// Refuses a schema of another version, the database of another application, and a table of keys
/// that is missing or not this crate's. An empty table in its place would else be a store in which
/// every key is unknown.
pub(super) fn require_intact(connection: &Connection, place: &Place) -> Result<(), StoreError> {
    if number(connection, "application_id", place)? != APPLICATION_ID {
        return Err(place.error(
            StoreErrorKind::Schema,
            "this is the database of another application; name another file",
        ));
    }
    require_newest(number(connection, "user_version", place)?, place)?;
    let found = table(connection).map_err(|error| place.sqlite(error))?;
    if found.is_some() && found == *expected(place)? {
        return Ok(());
    }
    Err(place.error(
        StoreErrorKind::Schema,
        "its table of keys is missing, or not as this version of the crate made it; restore the \
         file from a backup",
    ))
}

/// What the migrations make, tried once in memory.
fn expected(place: &Place) -> Result<&'static Option<(String, String)>, StoreError> {
    static EXPECTED: OnceLock<Option<(String, String)>> = OnceLock::new();
    if let Some(expected) = EXPECTED.get() {
        return Ok(expected);
    }
    let made = Connection::open_in_memory().and_then(|connection| {
        for migration in MIGRATIONS {
            connection.execute_batch(migration)?;
        }
        table(&connection)
    });
    let made = made.map_err(|error| place.sqlite(error))?;
    Ok(EXPECTED.get_or_init(|| made))
}

fn table(connection: &Connection) -> Result<Option<(String, String)>, rusqlite::Error> {
    connection
        .prepare_cached(TABLE)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
