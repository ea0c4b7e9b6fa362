//! Revocations: statements that read an id, a lineage or a subject as they are, and parse nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{Error as SqlError, Row as _};
use tower_api_key::store::sql::revocation_time;
use tower_api_key::store::{Ended, Revoked, StoreError, StoreErrorKind, Target};
use tower_api_key::{Actor, KeyId, Realm, Revocation};

use super::commit::{LOCK, lineage_lock, subject_lock};
use super::connection::Connections;
use super::error::{because, commit_failed};
use super::history::{act, ring};
use super::tables::Tables;

/// How often a revocation is repeated if the database has ended it to resolve a deadlock.
const ATTEMPTS: usize = 8;

/// Rows are locked in the order of their ids, as last uses lock them, so that the two do not deadlock.
/// The version rises by one, unless there is no higher one. The triggers of the history run at the end of the
/// statement, after `ring` has said whose it is.
macro_rules! end {
    ($condition:literal) => {
        concat!(
            "WITH due AS (SELECT id FROM @.tower_api_keys WHERE realm @= $1 AND revoked_at IS NULL AND ",
            $condition,
            " ORDER BY id FOR NO KEY UPDATE), ring AS MATERIALIZED (SELECT ",
            act!("$5"),
            " AS name) \
             UPDATE @.tower_api_keys AS keys SET revoked_at = $3, revocation_reason = $4, version = \
             CASE WHEN keys.version @< 1 THEN 1 \
             WHEN keys.version @< 9223372036854775807 THEN keys.version @+ 1 ELSE keys.version END \
             FROM due, ring WHERE keys.id @= due.id AND keys.revoked_at IS NULL AND ring.name IS NOT NULL \
             RETURNING keys.id, keys.subject"
        )
    };
}

macro_rules! exists {
    ($condition:literal) => {
        concat!(
            "SELECT EXISTS (SELECT 1 FROM @.tower_api_keys WHERE realm @= $1 AND ",
            $condition,
            ")"
        )
    };
}

/// The statements of one kind of target. `$1` is the realm, `$2` the target's id or subject.
#[derive(Clone, Copy)]
struct Statements {
    end: &'static str,
    exists: &'static str,
}

const BY_ID: Statements = Statements {
    end: end!("id @= $2"),
    exists: exists!("id @= $2"),
};
const BY_LINEAGE: Statements = Statements {
    end: end!("lineage @= $2"),
    exists: exists!("lineage @= $2"),
};
const BY_SUBJECT: Statements = Statements {
    end: end!("subject @= $2"),
    exists: exists!("subject @= $2"),
};

/// The lineage of a key. It never changes.
const LINEAGE: &str = "SELECT lineage FROM @.tower_api_keys WHERE realm @= $1 AND id @= $2";
const SUBJECTS: &str =
    "SELECT DISTINCT subject FROM @.tower_api_keys WHERE realm @= $1 AND lineage @= $2";

/// Ends the keys of the target, in one transaction.
pub(super) async fn revoke(
    connections: &Connections,
    realm: &Realm,
    target: &Target,
    revocation: Revocation,
    by: Option<&Actor>,
) -> Result<Revoked, StoreError> {
    // No text of Postgres holds NUL, so no key is of such a subject.
    if matches!(target, Target::Subject(subject) if subject.contains('\0')) {
        return Ok(Revoked::default());
    }
    for _ in 0..ATTEMPTS {
        let mut taken = connections.begun().await?;
        let tables = Arc::clone(&taken.tables);
        let ended = end(&mut taken, &tables, realm, target, revocation, by).await;
        let ended = ended.map_err(|error| commit_failed(&error));
        let has_ended = |revoked: &Revoked| !revoked.ended.is_empty();
        let outcome = if ended.as_ref().is_ok_and(has_ended) {
            taken.end_and_notify(ended).await
        } else {
            taken.end(ended).await
        };
        match outcome {
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            outcome => return outcome,
        }
    }
    Err(because(
        StoreErrorKind::Busy,
        "end the sessions that change the same keys by hand, or try again later",
    ))
}

pub(super) async fn end(
    connection: &mut PgConnection,
    tables: &Tables,
    realm: &Realm,
    target: &Target,
    revocation: Revocation,
    by: Option<&Actor>,
) -> Result<Revoked, SqlError> {
    let (statements, name) = match target {
        Target::Key(id) => (BY_ID, id.to_string()),
        Target::Lineage(id) => (
            BY_LINEAGE,
            lock_lineage(connection, tables, realm, *id).await?,
        ),
        Target::Subject(subject) => {
            lock(connection, [subject_lock(realm, subject)].into()).await?;
            (BY_SUBJECT, subject.clone())
        }
    };
    let rows = tables
        .query(statements.end)
        .bind(realm.as_str())
        .bind(&name)
        .bind(revocation_time(revocation.at))
        .bind(revocation.reason.as_str())
        .bind(ring(by))
        .fetch_all(&mut *connection)
        .await?;
    let ended: Vec<Ended> = rows
        .iter()
        .map(|row| {
            let id = row.try_get(0).ok().and_then(|id: &str| id.parse().ok());
            Ended::new(id, row.try_get(1).ok())
        })
        .collect();
    let found = !ended.is_empty()
        || tables
            .query(statements.exists)
            .bind(realm.as_str())
            .bind(&name)
            .fetch_one(connection)
            .await?
            .try_get(0)?;
    Ok(Revoked::new(found, ended))
}

/// Waits until no commit that puts a key into the lineage is under way, and lets none begin. Returns the
/// lineage that the id names.
///
/// The subjects' locks are for processes with an earlier version of this crate, which use no other.
async fn lock_lineage(
    connection: &mut PgConnection,
    tables: &Tables,
    realm: &Realm,
    id: KeyId,
) -> Result<String, SqlError> {
    let row = tables
        .query(LINEAGE)
        .bind(realm.as_str())
        .bind(id.to_string())
        .fetch_optional(&mut *connection)
        .await?;
    let lineage = match row {
        Some(row) => row.try_get(0)?,
        None => id.to_string(),
    };
    let rows = tables
        .query(SUBJECTS)
        .bind(realm.as_str())
        .bind(&lineage)
        .fetch_all(&mut *connection)
        .await?;
    let subjects = rows.iter().map(|row| {
        let subject: &str = row.try_get(0)?;
        Ok(subject_lock(realm, subject))
    });
    let mut locks = subjects.collect::<Result<BTreeSet<i64>, SqlError>>()?;
    locks.insert(lineage_lock(realm, &lineage));
    lock(connection, locks).await?;
    Ok(lineage)
}

async fn lock(connection: &mut PgConnection, locks: BTreeSet<i64>) -> Result<(), SqlError> {
    let locks: Vec<i64> = locks.into_iter().collect();
    sqlx::query(LOCK).bind(locks).execute(connection).await?;
    Ok(())
}
