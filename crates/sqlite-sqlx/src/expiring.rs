//! Notices of keys that expire soon, in a transaction that began before.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tower_api_key::store::{ExpiryClaims, ExpiryLadder, ExpiryNotice, StoreError};
use tower_api_key::{Realm, Timestamp};
use tower_api_key_sqlite_schema::notices::Notices;

use super::place::Place;
use super::statement::column;
use super::write::{act, act_no_more};

/// Claims what is due. If nothing is, the transaction writes nothing.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    statements: &Notices,
    (now, limit): (Timestamp, usize),
) -> Result<ExpiryClaims, StoreError> {
    // No expiry in a column is later.
    let now = i64::try_from(now.as_unix()).unwrap_or(i64::MAX);
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let asked = |sql: &str| {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
        query.bind(realm.as_str().to_owned()).bind(now).bind(most)
    };
    let fail = |error| place.sqlx(error);
    let is_due = asked(&statements.is_due).fetch_one(&mut *connection).await;
    if !is_due
        .and_then(|row| column::<bool>(&row, 0))
        .map_err(fail)?
    {
        return Ok(ExpiryClaims::default());
    }
    // The trigger of the history notes each claim, as one of a ring.
    act(connection, place, None, None).await?;
    let rows = asked(&statements.claim).fetch_all(&mut *connection).await;
    let rows = rows.map_err(fail)?;
    act_no_more(connection, place).await?;
    let notices = rows.iter().filter_map(notice).collect();
    Ok(ExpiryClaims::new(notices, rows.len() >= limit))
}

/// `None` if the step does not count, or the id is none.
fn notice(row: &SqliteRow) -> Option<ExpiryNotice> {
    let text = |place| column::<&str>(row, place).ok();
    let seconds = |place| column::<i64>(row, place).ok().map(i64::unsigned_abs);
    let expires_at = Timestamp::from_unix(seconds(2)?);
    let issued_at = Timestamp::from_unix(seconds(3)?);
    let step = Duration::from_secs(seconds(4)?);
    let id = text(0)?.parse().ok()?;
    ExpiryLadder::counts(step, issued_at, expires_at)
        .then(|| ExpiryNotice::new(id, text(1).map(str::to_owned), expires_at, step))
}
