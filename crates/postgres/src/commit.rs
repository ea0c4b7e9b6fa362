//! Changes, each a transaction.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;
use tower_api_key::Realm;
use tower_api_key::store::{Change, Expected, StoreError, StoreErrorKind, Write};

use super::columns::Rows;
use super::connection::Connections;
use super::error::{because, commit_failed};
use super::limit;
use super::tables::Tables;

/// In the order of the array, which is sorted, so that two commits never deadlock.
pub(super) const LOCK: &str = "SELECT pg_catalog.pg_advisory_xact_lock(number) FROM pg_catalog.unnest($1::bigint[]) AS number";

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
        let counting = limit::lock(tables, connection, &self.locks, change).await;
        let counting = counting.map_err(|error| commit_failed(&error))?;
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
            if !limit::holds(tables, connection, limit, counting).await? {
                return Err(StoreErrorKind::TooManyKeys.into());
            }
        }
        Ok(())
    }
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
