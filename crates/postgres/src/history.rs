//! The history of keys, which triggers write.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};
use tower_api_key::store::sql::HistoryRow;
use tower_api_key::store::{
    HistoryEntry, HistoryPage, HistoryPlace, HistoryQuery, StoreError, StoreErrorKind,
};
use tower_api_key::{Actor, Realm, Timestamp};

use super::connection::Connections;
use super::error::{because, failed};
use super::record::column;
use super::tables::{SEEN, Tables, seen_once};

/// Says for the rest of the transaction that a ring makes the changes, by the place of the value of [`ring`], or by that
/// value.
macro_rules! act {
    ($place:literal) => {
        concat!(
            "pg_catalog.set_config('tower_api_key.ring', ",
            $place,
            ", true)"
        )
    };
}
pub(super) use act;

/// A sign and the actor. Without the sign, a ring without an actor would look like a statement by hand.
pub(super) fn ring(actor: Option<&Actor>) -> String {
    format!("={}", actor.map(Actor::as_str).unwrap_or_default())
}

pub(super) const FORGET: &str = concat!(
    "SELECT ",
    act!("$3"),
    ", @.tower_api_key_forget_history($1, $2)"
);

const MICROSECONDS: u64 = 1_000_000;

/// Before the entries: whether every change is recorded, and from migration 0015 on every notice, and whether this role sees
/// every entry.
const LIST: &str = concat!(
    "SELECT seen.*, (SELECT pg_catalog.count(*) @= CASE \
        WHEN (SELECT pg_catalog.max(version) FROM @.tower_api_key_migrations) @>= 15 THEN 5 ELSE 4 END \
        FROM pg_catalog.pg_trigger AS trigger \
        WHERE trigger.tgrelid @= '@literal.tower_api_keys'::pg_catalog.regclass \
        AND trigger.tgenabled @= 'A' AND trigger.tgname @= ANY (ARRAY[\
        'tower_api_keys_note_new', 'tower_api_keys_note_changed', 'tower_api_keys_note_gone', \
        'tower_api_keys_note_emptied', 'tower_api_keys_note_expiry'])), \
     pg_catalog.row_security_active('@literal.tower_api_key_history'::pg_catalog.regclass), \
     found.at, found.entry::pg_catalog.text, found.action, found.key_id, found.subject, found.actor, \
     found.role, found.by_hand, found.before::pg_catalog.text, found.after::pg_catalog.text \
     FROM ",
    seen_once!("history"),
    " LEFT JOIN (\
     SELECT * FROM @.tower_api_key_history WHERE realm @= $1"
);

/// A page of a history, as a statement and its arguments.
pub(super) struct Statement {
    sql: String,
    realm: String,
    key: Option<String>,
    subject: Option<String>,
    since: Option<i64>,
    before: Option<i64>,
    after: Option<(i64, String)>,
    limit: Option<i64>,
}

impl Statement {
    /// `None` if nothing can match: no text of Postgres holds NUL.
    pub(super) fn of(realm: &Realm, query: &HistoryQuery) -> Result<Option<Self>, StoreError> {
        if query.subject.as_deref().is_some_and(|it| it.contains('\0')) {
            return Ok(None);
        }
        let moment = |at: Timestamp| {
            let micros = at.as_unix().saturating_mul(MICROSECONDS);
            i64::try_from(micros).unwrap_or(i64::MAX)
        };
        let after = query.after.as_ref().map(position).transpose()?;
        let (compared, order) = if query.oldest_first {
            ("@>", " ORDER BY at, entry")
        } else {
            ("@<", " ORDER BY at DESC, entry DESC")
        };
        let mut sql = LIST.to_owned();
        let mut number = 1;
        let mut place = || {
            number += 1;
            format!("${number}")
        };
        for (is_asked, condition) in [
            (query.key.is_some(), " AND key_id @= "),
            (query.subject.is_some(), " AND subject @= "),
            (query.since.is_some(), " AND at @>= "),
            (query.before.is_some(), " AND at @< "),
        ] {
            if is_asked {
                sql.push_str(condition);
                sql.push_str(&place());
            }
        }
        if after.is_some() {
            let (at, entry) = (place(), place());
            let place = format!("({at}, {entry}::pg_catalog.uuid)");
            sql.push_str(" AND (at, entry) ");
            sql.push_str(compared);
            sql.push(' ');
            sql.push_str(&place);
        }
        sql.push_str(order);
        // One entry more than are asked for says that there is a next page.
        let limit = query.limit.map(|limit| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            limit.saturating_add(1)
        });
        sql.push_str(" LIMIT ");
        sql.push_str(&place());
        sql.push_str(") AS found ON true");
        Ok(Some(Self {
            sql,
            realm: realm.to_string(),
            key: query.key.map(|key| key.to_string()),
            subject: query.subject.clone(),
            since: query.since.map(moment),
            before: query.before.map(moment),
            after,
            limit,
        }))
    }

    pub(super) fn query(&self, tables: &Tables) -> Query<'static, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(tables.text(&self.sql)));
        query = query.bind(self.realm.clone());
        for text in [&self.key, &self.subject].into_iter().flatten() {
            query = query.bind(text.clone());
        }
        for time in [self.since, self.before].into_iter().flatten() {
            query = query.bind(time);
        }
        if let Some((at, entry)) = &self.after {
            query = query.bind(*at).bind(entry.clone());
        }
        query.bind(self.limit)
    }
}

/// The page that the rows of a statement are.
pub(super) fn page(
    rows: &[PgRow],
    realm: &Realm,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    if let Some(row) = rows.first() {
        let (is_written, hides_entries): (bool, bool) =
            (column(row, SEEN)?, column(row, SEEN + 1)?);
        if !is_written {
            let advice = "enable the triggers tower_api_keys_note_new, _changed, _gone, _emptied and _expiry of \
                          tower_api_keys (ENABLE ALWAYS): without them, changes are not in the history";
            return Err(because(StoreErrorKind::Schema, advice));
        }
        if hides_entries {
            let advice = "give the role BYPASSRLS, or disable row-level security on \
                          tower_api_key_history: a policy may hide entries";
            return Err(because(StoreErrorKind::Schema, advice));
        }
    }
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(at) = column::<Option<i64>>(row, SEEN + 2)? {
            entries.push((at, column::<String>(row, SEEN + 3)?, entry(row, at, realm)?));
        }
    }
    // A join has its own order. Rows that are sorted already cost one comparison each.
    entries.sort_by(|(at, entry, _), (other_at, other, _)| (at, entry).cmp(&(other_at, other)));
    if !query.oldest_first {
        entries.reverse();
    }
    let entries = entries.into_iter().map(|(_, _, entry)| entry).collect();
    Ok(HistoryPage::new(entries, query.limit))
}

fn entry(row: &PgRow, at: i64, realm: &Realm) -> Result<HistoryEntry, StoreError> {
    let text = |place| column::<Option<&str>>(row, SEEN + place);
    let place = format!("{at}-{}", text(3)?.unwrap_or_default()).parse();
    let place = place.map_err(StoreError::unavailable)?;
    let entry = HistoryRow {
        action: text(4)?.unwrap_or_default(),
        key_id: text(5)?,
        subject: text(6)?,
        actor: text(7)?,
        role: text(8)?,
        is_by_hand: column(row, SEEN + 9)?,
        before: text(10)?,
        after: text(11)?,
        ..HistoryRow::new(
            place,
            Timestamp::from_unix(at.unsigned_abs() / MICROSECONDS),
        )
    };
    Ok(entry.entry(realm))
}

/// The time of a place, and the name of the entry.
fn position(place: &HistoryPlace) -> Result<(i64, String), StoreError> {
    let parts = place.as_str().split_once('-');
    let parts = parts.and_then(|(at, entry)| Some((at.parse().ok()?, entry)));
    // A text that is no UUID would be an error of the server.
    match parts.filter(|(_, entry)| is_uuid(entry)) {
        Some((at, entry)) => Ok((at, entry.to_owned())),
        None => Err(because(
            StoreErrorKind::Unsupported,
            "this place is one of another store's history",
        )),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Removes the entries of a realm from before a time, in one transaction, which no writer of keys waits for.
pub(super) async fn forget(
    connections: &Connections,
    realm: &Realm,
    before: Timestamp,
    ring: String,
) -> Result<u64, StoreError> {
    let before = i64::try_from(before.as_unix()).unwrap_or(i64::MAX);
    let mut taken = connections.begun().await?;
    let query = taken.tables.query(FORGET);
    let query = query.bind(realm.to_string()).bind(before).bind(ring);
    let forgotten = query.fetch_one(&mut **taken).await;
    let forgotten = forgotten.and_then(|row| row.try_get::<i64, _>(1));
    let forgotten = forgotten.map_err(|error| failed(&error));
    Ok(taken.end(forgotten).await?.unsigned_abs())
}
