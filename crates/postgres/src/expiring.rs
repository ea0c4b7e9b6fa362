//! Notices of keys that expire soon: how they are claimed.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{Error as SqlError, Row as _};
use tower_api_key::store::{ExpiryClaims, ExpiryLadder, ExpiryNotice, StoreError};
use tower_api_key::{Realm, Timestamp};

use super::connection::Connections;
use super::error::commit_failed;
use super::history::act;
use super::record::column;

/// What is due: `$1` is the realm, `$2` the steps, `$3` the last expiry within each, `$4` the time, `$5` how many, `$6` the one
/// key that is meant, or NULL.
///
/// There is one descent in the index for each claim that some key has, and each finds the keys of its claim whose expiry is
/// within the next step. A row that another session has locked is passed over: it is claimed or ended there, and the
/// next turn finds it if it is not. A condition holds in the row that was locked, so a revocation that returned before is
/// seen.
macro_rules! due {
    () => {
        "WITH RECURSIVE ladder (step, until) AS MATERIALIZED (
    SELECT steps.step, steps.until FROM unnest($2::bigint[], $3::bigint[]) AS steps (step, until)
), told (step) AS (
    SELECT 0::bigint
    UNION ALL
    SELECT (SELECT coalesce(keys.noticed_step, 9223372036854775807) FROM @.tower_api_keys AS keys
        WHERE keys.realm @= $1 AND keys.revoked_at IS NULL AND keys.retire_at IS NULL
            AND keys.expires_at IS NOT NULL
            AND coalesce(keys.noticed_step, 9223372036854775807) @> told.step
        ORDER BY coalesce(keys.noticed_step, 9223372036854775807) LIMIT 1)
    FROM told WHERE told.step IS NOT NULL
), due AS MATERIALIZED (
    SELECT found.id, found.step FROM told
    CROSS JOIN LATERAL (
        SELECT ladder.until FROM ladder WHERE ladder.step @< told.step ORDER BY ladder.step DESC LIMIT 1
    ) AS next
    CROSS JOIN LATERAL (
        SELECT keys.id,
            (SELECT pg_catalog.min(ladder.step) FROM ladder WHERE keys.expires_at @<= ladder.until) AS step
        FROM @.tower_api_keys AS keys
        WHERE keys.realm @= $1 AND keys.revoked_at IS NULL AND keys.retire_at IS NULL
            AND coalesce(keys.noticed_step, 9223372036854775807) @= told.step
            AND keys.expires_at @> $4 AND keys.expires_at @<= next.until
            AND ($6::pg_catalog.text IS NULL OR keys.id @= $6::pg_catalog.text)
        ORDER BY keys.expires_at LIMIT $5 FOR NO KEY UPDATE SKIP LOCKED
    ) AS found
    LIMIT $5
)"
    };
}

/// If a claim were lost, its notice would be sent twice, so a claim is durable. The trigger of the history notes it in the
/// same commit, as one of a ring without an actor.
const CLAIM: &str = concat!(
    due!(),
    ", durable AS MATERIALIZED (
    SELECT CASE
        WHEN pg_catalog.current_setting('synchronous_commit') @= ANY (ARRAY['off', 'local', 'remote_write'])
        THEN pg_catalog.set_config('synchronous_commit', 'on', true) ELSE '' END AS setting, ",
    act!("'='"),
    " AS ring
)
UPDATE @.tower_api_keys AS keys SET noticed_step = due.step
FROM due, durable WHERE keys.id @= due.id AND durable.setting IS NOT NULL AND durable.ring IS NOT NULL
RETURNING keys.id, keys.subject, keys.expires_at, keys.issued_at, keys.noticed_step"
);

const LIST: &str = concat!(due!(), " SELECT due.id FROM due");

/// As many damaged rows as one turn goes past.
const MOST_DAMAGED: usize = 10_000;

pub(super) async fn claim(
    connections: &Connections,
    realm: &Realm,
    ladder: &ExpiryLadder,
    now: Timestamp,
    limit: usize,
) -> Result<ExpiryClaims, StoreError> {
    if ladder.is_empty() {
        return Ok(ExpiryClaims::default());
    }
    let asked = Asked::new(realm, ladder, now);
    let rows = match asked.rows(connections, CLAIM, limit, None).await? {
        Some(rows) => rows,
        None => asked.each(connections, limit).await?,
    };
    let notices = rows.iter().filter_map(notice).collect();
    Ok(ExpiryClaims::new(notices, rows.len() >= limit))
}

struct Asked {
    realm: String,
    steps: Vec<i64>,
    untils: Vec<i64>,
    now: i64,
}

impl Asked {
    fn new(realm: &Realm, ladder: &ExpiryLadder, now: Timestamp) -> Self {
        // No expiry in a column is later.
        let column = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        let now = now.as_unix();
        let steps = ladder.steps().iter().map(Duration::as_secs);
        let untils = steps.clone().map(|step| column(now.saturating_add(step)));
        Self {
            realm: realm.to_string(),
            untils: untils.collect(),
            steps: steps.map(column).collect(),
            now: column(now),
        }
    }

    /// The rows of a statement in a transaction. `None` if the database refuses the change of one of them.
    async fn rows(
        &self,
        connections: &Connections,
        sql: &'static str,
        limit: usize,
        only: Option<&str>,
    ) -> Result<Option<Vec<PgRow>>, StoreError> {
        let mut taken = connections.begun().await?;
        let query = taken.tables.query(sql).bind(self.realm.as_str());
        let query = query.bind(&self.steps).bind(&self.untils).bind(self.now);
        let query = query
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(only);
        let rows = query.fetch_all(&mut **taken).await;
        let is_refused = rows.as_ref().is_err_and(is_about_a_row);
        let ended = taken.end(rows.map_err(|error| commit_failed(&error))).await;
        if is_refused {
            Ok(None)
        } else {
            ended.map(Some)
        }
    }

    /// One key after the other. A row that breaks a rule of the table, as an earlier version or its owner may have left it,
    /// cannot be changed but by its revocation, and holds up no notice of another.
    #[cold]
    async fn each(
        &self,
        connections: &Connections,
        limit: usize,
    ) -> Result<Vec<PgRow>, StoreError> {
        let most = limit.saturating_add(MOST_DAMAGED);
        let listed = self.rows(connections, LIST, most, None).await?;
        let mut claimed = Vec::new();
        for row in listed.unwrap_or_default() {
            if claimed.len() >= limit {
                break;
            }
            let id: &str = column(&row, 0)?;
            let rows = self.rows(connections, CLAIM, 1, Some(id)).await?;
            claimed.extend(rows.unwrap_or_default());
        }
        Ok(claimed)
    }
}

/// Whether the database refuses what a row holds: a rule that is violated (class 23), or a value that a rule cannot read
/// (class 22).
fn is_about_a_row(error: &SqlError) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// `None` if the step does not count, or the id is none.
fn notice(row: &PgRow) -> Option<ExpiryNotice> {
    let text = |place: usize| row.try_get::<&str, _>(place).ok();
    let seconds = |place: usize| row.try_get::<i64, _>(place).ok().map(i64::unsigned_abs);
    let expires_at = Timestamp::from_unix(seconds(2)?);
    let issued_at = Timestamp::from_unix(seconds(3)?);
    let step = Duration::from_secs(seconds(4)?);
    let id = text(0)?.parse().ok()?;
    ExpiryLadder::counts(step, issued_at, expires_at)
        .then(|| ExpiryNotice::new(id, text(1).map(str::to_owned), expires_at, step))
}
