//! The schema of this crate: its migrations, and whether a file has the tables and guards that they make.

use std::sync::OnceLock;

use rusqlite::{Connection, TransactionBehavior};
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::place::Place;

/// `TKEY`: `file` and other tools recognise the database by it.
pub(super) const APPLICATION_ID: i64 = 0x544b_4559;

/// The migrations from each version of the schema to the next, from none to 1 first.
pub(super) const MIGRATIONS: [&str; 9] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
];

/// The version of the schema that this crate reads and writes.
pub(super) const VERSION: i64 = 9;

/// The parts that the migrations make and the store relies on. Indexes are not included, nor triggers
/// and indexes that others add: without its own index, a store is slow but correct.
const PARTS: &str = "SELECT name, type, sql FROM main.sqlite_schema \
     WHERE type IN ('table', 'view', 'trigger') \
     AND tbl_name IN ('api_keys', 'api_key_scope_sets', 'api_key_changes', 'api_key_feed', \
     'api_key_subjects', 'api_key_history', 'api_key_acting') \
     ORDER BY name";

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
                "its trigger {name} is missing, or differs from the one that this version of the \
                 crate creates; put it back, or restore the file from a backup"
            ),
        )),
        Some((name, _, _)) => {
            let table = match name.as_str() {
                "api_keys" => "table of keys",
                "api_key_changes" => "log of changes",
                "api_key_feed" => "table of the staleness",
                "api_key_subjects" => "table of subjects",
                "api_key_history" => "history",
                "api_key_acting" => "table of those who act",
                _ => "table of scopes",
            };
            Err(place.error(
                StoreErrorKind::Schema,
                &format!(
                    "its {table} is missing, or differs from the one that this version of the \
                     crate creates; restore the file from a backup"
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
        return Err(too_new(version, place));
    }
    Ok(version)
}

pub(super) fn require_newest(version: i64, place: &Place) -> Result<(), StoreError> {
    match version {
        VERSION => Ok(()),
        newer if newer > VERSION => Err(too_new(newer, place)),
        0 => Err(place.error(
            StoreErrorKind::Schema,
            "the file holds no keys yet; create the store first",
        )),
        older => Err(place.error(
            StoreErrorKind::Schema,
            &format!(
                "its schema has version {older}, and this crate reads {VERSION}; migrate the store \
                 first"
            ),
        )),
    }
}

fn too_new(version: i64, place: &Place) -> StoreError {
    let advice = format!(
        "its schema has version {version}, and this crate reads versions up to {VERSION}; upgrade \
         tower-api-key"
    );
    place.error(StoreErrorKind::Schema, &advice)
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
            .execute_batch(&format!(
                "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};",
                migrations.len()
            ))
            .map_err(|error| place.sqlite(error))?;
    }
    transaction.commit().map_err(|error| place.sqlite(error))
}
