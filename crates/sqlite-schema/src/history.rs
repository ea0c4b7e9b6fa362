//! The history of keys: how it is read and forgotten.

use std::fmt::Write as _;
use std::time::Duration;

use tower_api_key::store::sql::{Statement, Value};
use tower_api_key::store::{HistoryPlace, HistoryQuery, StoreError, StoreErrorKind};
use tower_api_key::{Realm, Timestamp};

/// How many entries a step forgets.
pub const AT_ONCE: usize = 5_000;

/// The rest between two steps, as for a purge.
pub const REST: Duration = Duration::from_millis(120);

/// Removes at most `?3` entries of a realm `?1` from before `?2`.
pub const FORGET: &str = "DELETE FROM main.api_key_history WHERE seq IN (SELECT seq FROM main.api_key_history \
     WHERE realm = ?1 AND at < ?2 ORDER BY at, seq LIMIT ?3)";

/// Says so, for a realm `?1` and an actor `?2`: entries from before `?3` were removed, `?4` of them.
pub const NOTE_FORGOTTEN: &str = "INSERT INTO main.api_key_history (token, at, realm, action, actor, by_hand, after) \
     VALUES (randomblob(12), unixepoch(), ?1, 'forgotten', ?2, 0, \
     json_object('before', ?3, 'entries', ?4))";

/// The entries that a query asks for. One entry more than are asked for says that there is a next page.
///
/// # Errors
///
/// [`Unsupported`](StoreErrorKind::Unsupported) for a place of another store's history.
pub fn statement(realm: &Realm, query: &HistoryQuery) -> Result<Statement, StoreError> {
    let mut sql = "SELECT seq, token, at, action, key_id, subject, actor, by_hand, before, after \
         FROM main.api_key_history WHERE realm = ?1"
        .to_owned();
    let mut values = vec![Value::Text(realm.to_string())];
    let seconds = |at: Timestamp| Value::Number(i64::try_from(at.as_unix()).unwrap_or(i64::MAX));
    let conditions = [
        (
            "key_id =",
            query.key.map(|key| Value::Text(key.to_string())),
        ),
        ("subject =", query.subject.clone().map(Value::Text)),
        ("at >=", query.since.map(seconds)),
        ("at <", query.before.map(seconds)),
    ];
    // Writing to a `String` cannot fail.
    for (condition, value) in conditions {
        if let Some(value) = value {
            values.push(value);
            let _ = write!(sql, " AND {condition} ?{}", values.len());
        }
    }
    let (compared, order) = if query.oldest_first {
        (">", "at, seq")
    } else {
        ("<", "at DESC, seq DESC")
    };
    if let Some(after) = &query.after {
        let (at, seq) = position(after)?;
        values.extend([Value::Number(at), Value::Number(seq)]);
        let last = values.len();
        let _ = write!(sql, " AND (at, seq) {compared} (?{}, ?{last})", last - 1);
    }
    let limit = query.limit.and_then(|limit| i64::try_from(limit).ok());
    values.push(Value::Number(
        limit.map_or(-1, |limit| limit.saturating_add(1)),
    ));
    let _ = write!(sql, " ORDER BY {order} LIMIT ?{}", values.len());
    Ok(Statement::new(sql, values))
}

/// The place of an entry: its time, its number and its token. The token makes it a name.
///
/// # Errors
///
/// [`Unavailable`](StoreErrorKind::Unavailable) if they make none.
pub fn place(at: i64, seq: i64, token: &[u8]) -> Result<HistoryPlace, StoreError> {
    let mut place = format!("{at}-{seq}-");
    for byte in token {
        let _ = write!(place, "{byte:02x}");
    }
    place.parse().map_err(StoreError::unavailable)
}

/// The time and the number of a place.
fn position(place: &HistoryPlace) -> Result<(i64, i64), StoreError> {
    let mut parts = place.as_str().split('-');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    if let (Some(at), Some(seq)) = (number(), number()) {
        return Ok((at, seq));
    }
    let error = "this place is one of another store's history";
    Err(StoreError::new(StoreErrorKind::Unsupported, error))
}
