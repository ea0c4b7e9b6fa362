//! How many keys a subject has.

use sqlx::postgres::PgConnection;
use sqlx::{Error as SqlError, Row as _};
use tower_api_key::store::sql::column_time;
use tower_api_key::store::{Change, KeyLimit, StoreError};

use super::error::commit_failed;
use super::history::{act, ring};
use super::tables::Tables;

/// In the order of the array, which is sorted, so that two commits never deadlock. It says for the history whose changes
/// follow, and returns who counts: the function is of migration 0013, and may not be granted to a later role.
const LOCK_AND_ACT: &str = concat!(
    "SELECT pg_catalog.pg_advisory_xact_lock(number), ",
    act!("$2"),
    ", coalesce(pg_catalog.has_function_privilege(pg_catalog.to_regprocedure(\
     '@literal.tower_api_key_within(pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int8)'), \
     'EXECUTE'), false) FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS number"
);

/// The database keeps the number of a subject with many keys.
const WITHIN: &str = "SELECT @.tower_api_key_within($1, $2, $3, $4)";

/// How many keys of a subject have not ended, and of how many lineages they are. At most `$4` are read, and all
/// if that is null. In two parts, so that keys that have expired are not read.
const LIVING: &str = "SELECT pg_catalog.count(*), pg_catalog.count(DISTINCT living.lineage) FROM (
    SELECT lineage FROM @.tower_api_keys
    WHERE realm @= $1 AND subject @= $2 AND revoked_at IS NULL
        AND expires_at IS NULL AND (retire_at IS NULL OR retire_at @> $3)
    UNION ALL
    SELECT lineage FROM @.tower_api_keys
    WHERE realm @= $1 AND subject @= $2 AND revoked_at IS NULL
        AND expires_at @> $3 AND (retire_at IS NULL OR retire_at @> $3)
    LIMIT $4) AS living";

/// Who counts the keys of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// A function of the database, which keeps the number.
    Database,
    /// The store, all of them each time.
    Store,
}

/// Takes the locks of a change, and returns who counts.
pub(super) async fn lock(
    tables: &Tables,
    connection: &mut PgConnection,
    locks: &[i64],
    change: &Change,
) -> Result<Counting, SqlError> {
    let rows = tables
        .query(LOCK_AND_ACT)
        .bind(locks)
        .bind(ring(change.actor()))
        .fetch_all(connection)
        .await?;
    Ok(match rows.first().map(|row| row.try_get(2)).transpose()? {
        Some(true) => Counting::Database,
        Some(false) | None => Counting::Store,
    })
}

/// Whether a limit holds. No ring can give the subject a key, because the lock of the subject is held.
pub(super) async fn holds(
    tables: &Tables,
    connection: &mut PgConnection,
    limit: &KeyLimit,
    counting: Counting,
) -> Result<bool, StoreError> {
    let at = column_time(limit.at())?;
    if counting == Counting::Database {
        let within = within(tables, connection, limit, at).await;
        if let Some(within) = within.map_err(|error| commit_failed(&error))? {
            return Ok(within);
        }
    }
    let counted = counted(tables, connection, limit, at).await;
    counted.map_err(|error| commit_failed(&error))
}

fn most(limit: &KeyLimit) -> i64 {
    i64::try_from(limit.most()).unwrap_or(i64::MAX)
}

/// `None` if the function cannot see every key.
async fn within(
    tables: &Tables,
    connection: &mut PgConnection,
    limit: &KeyLimit,
    at: i64,
) -> Result<Option<bool>, SqlError> {
    let row = tables
        .query(WITHIN)
        .bind(limit.realm().as_str())
        .bind(limit.subject().as_str())
        .bind(at)
        .bind(most(limit))
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

async fn counted(
    tables: &Tables,
    connection: &mut PgConnection,
    limit: &KeyLimit,
    at: i64,
) -> Result<bool, SqlError> {
    let most = most(limit);
    // A lineage has at most two keys that have not ended, except if another hand wrote more.
    let enough = most.checked_mul(2).and_then(|twice| twice.checked_add(1));
    for limit_of_rows in [enough, None] {
        let row = tables
            .query(LIVING)
            .bind(limit.realm().as_str())
            .bind(limit.subject().as_str())
            .bind(at)
            .bind(limit_of_rows)
            .fetch_one(&mut *connection)
            .await?;
        let (keys, lineages): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if lineages > most {
            return Ok(false);
        }
        if limit_of_rows.is_none_or(|read| keys < read) {
            return Ok(true);
        }
    }
    Ok(false)
}
