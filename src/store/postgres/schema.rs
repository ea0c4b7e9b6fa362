//! The tables, and how they come into being.

use sqlx::{Error as SqlError, PgConnection, Row as _};

use super::super::{StoreError, StoreErrorKind};
use super::error::{because, failed};

/// In their order; the first makes version 1.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../../migrations/postgres/0001_keys.sql"),
    include_str!("../../../migrations/postgres/0002_revocable.sql"),
];

/// The version that this crate reads and writes.
const VERSION: usize = MIGRATIONS.len();

pub(super) const MIGRATE: &str =
    "run `tower-api-key migrate`, or apply the files in migrations/postgres";

/// The number of the lock in the files. A session that has it can take it again.
const LOCK: &str = "SELECT pg_advisory_lock(8387794199273235065)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(8387794199273235065)";

const EXISTS: &str = "SELECT to_regclass('tower_api_key_migrations') IS NOT NULL";
const APPLIED: &str = "SELECT max(version) FROM tower_api_key_migrations";

/// Refuses a schema that is not of this crate's version.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), StoreError> {
    let found = version(connection).await.map_err(|error| failed(&error))?;
    let advice = match found {
        VERSION => return Ok(()),
        0 => format!("{MIGRATE}: the tables are missing"),
        older if older < VERSION => {
            format!("{MIGRATE}: the schema is of version {older}, and {VERSION} is needed")
        }
        newer => return Err(too_new(newer)),
    };
    Err(because(StoreErrorKind::Schema, advice))
}

/// Applies what is missing, and says how many files that were. What fails half-way is undone when
/// the connection ends.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<u32, StoreError> {
    // The lock goes with the connection, where a failure leaves it locked.
    statement(connection, LOCK).await?;
    let found = version(connection).await.map_err(|error| failed(&error))?;
    let missing = MIGRATIONS.get(found..).ok_or_else(|| too_new(found))?;
    for migration in missing {
        statement(connection, migration).await?;
    }
    statement(connection, UNLOCK).await?;
    Ok(u32::try_from(missing.len()).unwrap_or(u32::MAX))
}

async fn statement(connection: &mut PgConnection, sql: &'static str) -> Result<(), StoreError> {
    match sqlx::raw_sql(sql).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// The number of the last migration that was applied; 0 where there was none.
async fn version(connection: &mut PgConnection) -> Result<usize, SqlError> {
    let exists: bool = sqlx::query(EXISTS)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if !exists {
        return Ok(0);
    }
    let applied: Option<i32> = sqlx::query(APPLIED)
        .fetch_one(connection)
        .await?
        .try_get(0)?;
    Ok(applied.map_or(0, |applied| usize::try_from(applied).unwrap_or(0)))
}

fn too_new(found: usize) -> StoreError {
    let advice = format!(
        "update this program: the schema of the database is of version {found}, and it reads {VERSION}"
    );
    because(StoreErrorKind::Schema, advice)
}
