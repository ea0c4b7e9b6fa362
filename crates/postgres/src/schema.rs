//! The tables, and how they are created.

use sqlx::{AssertSqlSafe, Error as SqlError, PgConnection, Row as _};
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::error::{MIGRATE, because, failed};
use super::home::{Home, Seen};
use super::record::column;
use super::tables::{SEEN, Tables, home, seen};

/// In their order. The first makes version 1.
const MIGRATIONS: [&str; 15] = [
    include_str!("../migrations/0001_keys.sql"),
    include_str!("../migrations/0002_revocable.sql"),
    include_str!("../migrations/0003_subjects.sql"),
    include_str!("../migrations/0004_listing.sql"),
    include_str!("../migrations/0005_prefix_and_lists.sql"),
    include_str!("../migrations/0006_caveats.sql"),
    include_str!("../migrations/0007_descriptions.sql"),
    include_str!("../migrations/0008_feed.sql"),
    include_str!("../migrations/0009_limits.sql"),
    include_str!("../migrations/0010_history.sql"),
    include_str!("../migrations/0011_expiry_notices.sql"),
    include_str!("../migrations/0012_usage.sql"),
    include_str!("../migrations/0013_subjects_with_many_keys.sql"),
    include_str!("../migrations/0014_removals.sql"),
    include_str!("../migrations/0015_noted_notices.sql"),
];

/// The version that this crate creates.
const VERSION: usize = MIGRATIONS.len();

/// The earliest version that this crate reads: services are replaced one after the other, before or after
/// the migration.
const OLDEST: usize = 7;

/// The first version with the change feed as this crate reads it.
pub(super) const FEED: usize = 14;

/// The lock in the files. It belongs to the transaction, so that no pooler can hand it to another.
const BEGIN: &str = "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(8387794199273235065)";

const EXISTS: &str =
    "SELECT pg_catalog.to_regclass('@literal.tower_api_key_migrations') IS NOT NULL";
/// The last version that was applied, and from which version on a service can read the later ones than the
/// given one. The earliest migrations had no column for it.
macro_rules! applied {
    ($version:literal) => {
        concat!(
            "(SELECT pg_catalog.max(version) FROM @.tower_api_key_migrations), \
             (SELECT pg_catalog.max(coalesce(\
                 (pg_catalog.to_jsonb(later) @->> 'readable_from')::pg_catalog.int4, later.version)) \
             FROM @.tower_api_key_migrations AS later WHERE later.version @> ",
            $version,
            ")"
        )
    };
}

/// Prepared, so that a pooler that mixes up statements is found out.
const PROBE: &str = concat!(
    "SELECT ",
    seen!("probe"),
    ", class.relkind::pg_catalog.text, \
     (SELECT pg_catalog.count(*) @= 4 FROM pg_catalog.pg_trigger AS trigger \
         WHERE trigger.tgrelid @= class.oid AND trigger.tgname @= ANY (ARRAY[\
         'tower_api_keys_guard', 'tower_api_keys_entry', 'tower_api_keys_prefix', \
         'tower_api_keys_caveats'])), \
     (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()), ",
    home!(),
    ", ",
    applied!("$1"),
    " \
     FROM pg_catalog.pg_class AS class WHERE class.oid @= '@literal.tower_api_keys'::pg_catalog.regclass"
);

/// The schema of the tables: the one that is named, or the first of the search path that has them.
pub(super) async fn locate(
    connection: &mut PgConnection,
    named: Option<&str>,
) -> Result<Tables, StoreError> {
    if let Some(schema) = named {
        return Ok(Tables::new(schema));
    }
    let found = Tables::find(connection).await;
    found.map_err(|error| failed(&error))?.ok_or_else(missing)
}

/// Refuses a schema that is not of this crate's version, or a table that is not the crate's.
pub(super) async fn probe(
    tables: &Tables,
    connection: &mut PgConnection,
) -> Result<Home, StoreError> {
    let probe = tables.query(PROBE).bind(number(VERSION));
    let row = probe.fetch_optional(connection).await;
    let row = row.map_err(|error| failed(&error))?.ok_or_else(missing)?;
    let seen = Seen::of(&row, "probe")?;
    let (kind, has_guards): (&str, bool) = (column(&row, SEEN)?, column(&row, SEEN + 1)?);
    let applied = Applied::of(column(&row, SEEN + 4)?, column(&row, SEEN + 5)?);
    applied.check()?;
    if kind != "r" || !has_guards {
        let advice = format!(
            "{MIGRATE}, into another schema if need be: tower_api_keys is a table that they did \
             not create"
        );
        return Err(because(StoreErrorKind::Schema, advice));
    }
    Ok(Home {
        seen,
        timeline: column(&row, SEEN + 2)?,
        database: column(&row, SEEN + 3)?,
        version: applied.version,
    })
}

/// The migrations that were applied.
#[derive(Debug, Clone, Copy)]
struct Applied {
    /// The last one. 0 if there was none.
    version: usize,
    /// From which version on a service reads those that this crate does not know.
    readable_from: usize,
}

impl Applied {
    fn of(version: Option<i32>, readable_from: Option<i32>) -> Self {
        let number = |number: Option<i32>| usize::try_from(number.unwrap_or(0)).unwrap_or(0);
        Self {
            version: number(version),
            readable_from: number(readable_from),
        }
    }

    fn check(self) -> Result<(), StoreError> {
        match self.version {
            0 => Err(missing()),
            older if older < OLDEST => Err(too_old(older, OLDEST)),
            newer if newer > VERSION && self.readable_from > VERSION => Err(too_new(newer)),
            _ => Ok(()),
        }
    }
}

fn number(version: usize) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// A schema that lacks what is needed.
pub(super) fn too_old(found: usize, needed: usize) -> StoreError {
    let advice = format!("{MIGRATE}: the schema is of version {found}, and {needed} is needed");
    because(StoreErrorKind::Schema, advice)
}

fn missing() -> StoreError {
    let advice = format!("{MIGRATE}: the tables are missing");
    because(StoreErrorKind::Schema, advice)
}

/// Applies the missing migrations, each file in a transaction, and returns how many there were. A
/// migration that fails half-way is undone when the connection ends.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    named: Option<&str>,
) -> Result<u32, StoreError> {
    let mut applied = 0;
    loop {
        statement(connection, BEGIN.to_owned()).await?;
        let tables = match named {
            Some(schema) => Tables::new(schema),
            None => target(connection).await?,
        };
        let found = version(connection, &tables).await;
        let found = found.map_err(|error| failed(&error))?;
        let Some(file) = MIGRATIONS.get(found.version) else {
            statement(connection, "ROLLBACK".to_owned()).await?;
            return found.check().map(|()| applied);
        };
        // A temporary table comes last, and hides none.
        let path = format!("SET LOCAL search_path = {}, pg_temp", tables.quoted());
        statement(connection, path).await?;
        statement(connection, body(file)).await?;
        statement(connection, "COMMIT".to_owned()).await?;
        applied += 1;
    }
}

async fn target(connection: &mut PgConnection) -> Result<Tables, StoreError> {
    let found = Tables::find(connection).await;
    let mut found = found.map_err(|error| failed(&error))?;
    if found.is_none() {
        let first = Tables::first(connection).await;
        found = first.map_err(|error| failed(&error))?;
    }
    found.ok_or_else(|| {
        let advice = "create a schema, and put it on the search_path: there is none to migrate";
        because(StoreErrorKind::Schema, advice)
    })
}

/// A file without its own transaction.
fn body(file: &str) -> String {
    let lines = file
        .lines()
        .filter(|line| !["BEGIN;", "COMMIT;"].contains(line));
    lines.collect::<Vec<_>>().join("\n")
}

async fn statement(connection: &mut PgConnection, sql: String) -> Result<(), StoreError> {
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

async fn version(connection: &mut PgConnection, tables: &Tables) -> Result<Applied, SqlError> {
    // The simple protocol, which every pooler supports.
    let exists = AssertSqlSafe(tables.text(EXISTS));
    let exists = sqlx::raw_sql(exists).fetch_one(&mut *connection).await?;
    if !exists.try_get::<bool, _>(0)? {
        return Ok(Applied::of(None, None));
    }
    let applied = tables.text(concat!("SELECT ", applied!("$1")));
    let applied = AssertSqlSafe(applied.replace("$1", &VERSION.to_string()));
    let applied = sqlx::raw_sql(applied).fetch_one(connection).await?;
    Ok(Applied::of(applied.try_get(0)?, applied.try_get(1)?))
}

fn too_new(found: usize) -> StoreError {
    let advice = format!(
        "update this program: the schema of the database is of version {found}, and it reads {VERSION}"
    );
    because(StoreErrorKind::Schema, advice)
}

#[cfg(test)]
mod tests {
    use super::{MIGRATIONS, body};

    #[test]
    fn each_file_is_one_transaction() {
        for file in MIGRATIONS {
            for word in ["BEGIN;", "COMMIT;"] {
                assert_eq!(file.lines().filter(|line| *line == word).count(), 1);
                assert!(!body(file).lines().any(|line| line == word));
            }
        }
    }
}
