//! Changes, each a transaction.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tower_api_key::Realm;
use tower_api_key::store::sql::column_time;
use tower_api_key::store::{Change, Expected, KeyLimit, StoreError, StoreErrorKind, Write};

use super::columns::Rows;
use super::connection::Connections;
use super::error::{because, commit_failed};
use super::history::{act, ring};
use super::tables::Tables;

/// In the order of the array, which is sorted, so that two commits never deadlock.
pub(super) const LOCK: &str = "SELECT pg_catalog.pg_advisory_xact_lock(number) FROM pg_catalog.unnest($1::bigint[]) AS number";

/// The same, and says for the history whose changes follow.
const LOCK_AND_ACT: &str = concat!(
    "SELECT pg_catalog.pg_advisory_xact_lock(number), ",
    act!("$2"),
    " FROM pg_catalog.unnest($1::bigint[]) AS number"
);

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

/// Applies a change whole, or not at all.
pub(super) async fn apply(connections: &Connections, change: &Change) -> Result<(), StoreError> {
    let statements = Statements::of(change)?;
    let mut taken = connections.begun().await?;
    let tables = Arc::clone(&taken.tables);
    let applied = statements.run(&tables, &mut taken, change).await;
    let takes_away =
        |write: &Write| matches!(write.expected, Expected::Version(_)) && !write.describes();
    if change.writes().iter().any(takes_away) {
        taken.end_and_notify(applied).await
    } else {
        taken.end(applied).await
    }
}

/// A change as the arguments of its statements.
pub(super) struct Statements {
    locks: Vec<i64>,
    updates: Rows,
    inserts: Rows,
}

impl Statements {
    pub(super) fn of(change: &Change) -> Result<Self, StoreError> {
        let mut locks = BTreeSet::new();
        let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
        let mut updates = Rows::default();
        let mut inserts = Rows::default();
        for write in change.writes() {
            let record = &write.record;
            locks.insert(subject_lock(record.realm(), record.subject().as_str()));
            locks.insert(lineage_lock(record.realm(), record.lineage().as_str()));
            if !ids.insert(record.id()) || !digests.insert(record.digest().as_bytes()) {
                return Err(StoreErrorKind::Duplicate.into());
            }
            match write.expected {
                Expected::Absent => inserts.push(record)?,
                Expected::Version(version) => {
                    // No record is at a version that no column holds.
                    let expected = i64::try_from(version).map_err(|_| StoreErrorKind::Conflict)?;
                    updates.push_over(write, expected)?;
                }
            }
        }
        for limit in change.limits() {
            locks.insert(subject_lock(limit.realm(), limit.subject().as_str()));
        }
        Ok(Self {
            locks: locks.into_iter().collect(),
            updates,
            inserts,
        })
    }

    /// Updates come first. Then the one statement that can violate a unique constraint is the insertion
    /// of new records, and that means a taken id or digest.
    pub(super) async fn run(
        self,
        tables: &Tables,
        connection: &mut PgConnection,
        change: &Change,
    ) -> Result<(), StoreError> {
        sqlx::query(LOCK_AND_ACT)
            .bind(&self.locks)
            .bind(ring(change.actor()))
            .execute(&mut *connection)
            .await
            .map_err(|error| commit_failed(&error))?;
        if self.updates.len() > 0 {
            let expected = self.updates.len();
            let updated = self.updates.update(tables, connection).await;
            if updated.map_err(|error| commit_failed(&error))? != expected {
                return Err(StoreErrorKind::Conflict.into());
            }
        }
        if self.inserts.len() > 0 {
            let expected = self.inserts.len();
            let inserted = self.inserts.insert(tables, connection).await;
            if inserted.map_err(|error| commit_failed(&error))? != expected {
                let advice = "drop the rule or the trigger of tower_api_keys that skips inserts";
                return Err(because(StoreErrorKind::Unavailable, advice));
            }
        }
        for limit in change.limits() {
            if !holds(tables, connection, limit).await? {
                return Err(StoreErrorKind::TooManyKeys.into());
            }
        }
        Ok(())
    }
}

/// Whether a limit holds. No other session can give the subject a key, because the lock of the subject is held.
async fn holds(
    tables: &Tables,
    connection: &mut PgConnection,
    limit: &KeyLimit,
) -> Result<bool, StoreError> {
    let at = column_time(limit.at())?;
    let most = i64::try_from(limit.most()).unwrap_or(i64::MAX);
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
            .await
            .map_err(|error| commit_failed(&error))?;
        let count = |place| row.try_get::<i64, _>(place);
        let keys = count(0).map_err(|error| commit_failed(&error))?;
        let lineages = count(1).map_err(|error| commit_failed(&error))?;
        if lineages > most {
            return Ok(false);
        }
        if limit_of_rows.is_none_or(|read| keys < read) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of a subject's advisory lock. Two subjects with the same number only take turns.
pub(super) fn subject_lock(realm: &Realm, subject: &str) -> i64 {
    lock(b"tower-api-key subject\0", realm, subject)
}

/// The number of a lineage's advisory lock: a session that ends it waits for those that add a key to it.
pub(super) fn lineage_lock(realm: &Realm, lineage: &str) -> i64 {
    lock(b"tower-api-key lineage\0", realm, lineage)
}

fn lock(kind: &[u8], realm: &Realm, name: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(kind);
    // A realm holds no control characters, so it ends here.
    hash.update(realm.as_str());
    hash.update([0]);
    hash.update(name);
    let digest: [u8; 32] = hash.finalize().into();
    let (number, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    i64::from_be_bytes(*number)
}
