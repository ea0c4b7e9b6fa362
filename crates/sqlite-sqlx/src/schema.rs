//! The schema in the database of an application: made, and checked.

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Connection as _, Error as SqlError};
use tokio::sync::OnceCell;
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key_sqlite_schema::schema::{
    APPLICATION_ID, MIGRATIONS, PARTS, Part, VERSION, mark, require_newest, require_parts, too_new,
};

use super::place::Place;
use super::settings::{Durability, Settings};
use super::statement::{asked, column, first};

const FOREIGN: &str = "another application has marked this database as its own (application_id or \
                       user_version); keep the keys in a file of their own";

const NOT_MADE: &str =
    "the database has no tables of keys yet; call SqlxSqliteStore::migrate first";

/// Refuses a schema of another version, and the database of another application.
pub(super) fn require_marked(settings: &Settings, place: &Place) -> Result<(), StoreError> {
    let refuse = |advice: &str| place.error(StoreErrorKind::Schema, advice);
    match (settings.application_id, settings.user_version) {
        (APPLICATION_ID, version) => require_newest(version).map_err(|advice| refuse(&advice)),
        (0, 0) => Err(refuse(NOT_MADE)),
        _ => Err(refuse(FOREIGN)),
    }
}

/// Refuses a schema in which a table or a guard is missing or not this crate's.
pub(super) async fn require_intact(
    connection: &mut SqliteConnection,
    place: &Place,
) -> Result<(), StoreError> {
    let fail = |error| place.sqlx(error);
    let expected = expected().await.map_err(fail)?;
    let found = parts(connection).await.map_err(fail)?;
    require_parts(expected, &found).map_err(|advice| place.error(StoreErrorKind::Schema, &advice))
}

/// The parts that the migrations make, tried once in memory.
async fn expected() -> Result<&'static [Part], SqlError> {
    static EXPECTED: OnceCell<Vec<Part>> = OnceCell::const_new();
    let make = async || {
        // A private database: the short name is that of one that connections share.
        let mut connection = SqliteConnection::connect("sqlite://:memory:?cache=private").await?;
        for migration in MIGRATIONS {
            run(&mut connection, migration).await?;
        }
        let made = parts(&mut connection).await?;
        connection.close().await?;
        Ok(made)
    };
    EXPECTED.get_or_try_init(make).await.map(Vec::as_slice)
}

async fn parts(connection: &mut SqliteConnection) -> Result<Vec<Part>, SqlError> {
    let rows = asked(PARTS).fetch_all(connection).await?;
    let part = |row| {
        Ok(Part {
            name: column(row, 0)?,
            kind: column(row, 1)?,
            // Of an index that SQLite makes by itself, there is none; it is not among these.
            sql: column(row, 2)?,
        })
    };
    rows.iter().map(part).collect()
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), SqlError> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Makes or migrates the tables, and returns how many migrations it took.
pub(super) async fn migrate(
    pool: &SqlitePool,
    place: &Place,
    durability: Durability,
) -> Result<u32, StoreError> {
    let fail = |error| place.sqlx(error);
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
    let settings = Settings::of(&mut transaction, place).await?;
    settings.require_writable(place, durability)?;
    let version = match (settings.application_id, settings.user_version) {
        (APPLICATION_ID, version) if version > VERSION => {
            return Err(place.error(StoreErrorKind::Schema, &too_new(version)));
        }
        (APPLICATION_ID, version) => version,
        (0, 0) => {
            require_free(&mut transaction, place).await?;
            0
        }
        _ => return Err(place.error(StoreErrorKind::Schema, FOREIGN)),
    };
    let seen = usize::try_from(version).unwrap_or(usize::MAX);
    for migration in MIGRATIONS.into_iter().skip(seen) {
        run(&mut transaction, migration).await.map_err(fail)?;
    }
    if seen < MIGRATIONS.len() {
        let mark = sqlx::raw_sql(AssertSqlSafe(mark(MIGRATIONS.len())));
        mark.execute(&mut *transaction).await.map_err(fail)?;
    }
    transaction.commit().await.map_err(fail)?;
    let taken = MIGRATIONS.len().saturating_sub(seen);
    Ok(u32::try_from(taken).unwrap_or(u32::MAX))
}

/// Refuses a database in which the application has something of these names.
async fn require_free(connection: &mut SqliteConnection, place: &Place) -> Result<(), StoreError> {
    let taken = "SELECT name FROM main.sqlite_schema WHERE lower(name) GLOB 'api_key*' LIMIT 1";
    let taken = first(connection, asked(taken)).await;
    let Some(row) = taken.map_err(|error| place.sqlx(error))? else {
        return Ok(());
    };
    let name: String = column(&row, 0).map_err(|error| place.sqlx(error))?;
    let advice = format!(
        "the application has a table, a trigger or an index of the name {name:?}, and names that \
         begin with api_key are the store's; rename it, or keep the keys in a file of their own"
    );
    Err(place.error(StoreErrorKind::Schema, &advice))
}
