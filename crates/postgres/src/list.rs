//! Lists, a page at a time.

use std::cmp::Reverse;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};
use tower_api_key::store::sql::{
    Dialect, ListStatements, PageBuilder, Position, Row, Statement, Value, Way,
};
use tower_api_key::store::{ListQuery, MOST_REALMS, Page, StoreError};
use tower_api_key::{KeyRecord, Realm};

use super::connection::Connections;
use super::record::{column, to_record};
use super::tables::{SEEN, Tables, seen_once};

const DIALECT: Dialect = Dialect {
    table: "@.tower_api_keys",
    // Hours, which change less often than uses do.
    unused: &["used_hour <= :hour"],
    unused_rest: " AND coalesce(last_used_at, issued_at) <= :since AND issued_at + 0 <= :since",
    // Postgres knows how many keys that is.
    plain_unrevoked: "revoked_at IS NULL",
    of_scope: "string_to_array(scopes, ' ') && ARRAY[:scope]",
    has_scope: ":scope = ANY (string_to_array(scopes, ' '))",
    plain_realm: "realm",
    plain_id: "(id || '')",
    // A table of Postgres has no order that stays.
    stored_by: None,
    few_in_index: 20_000,
    few_in_table: 20_000,
    place: |number, value| match value {
        Value::Number(_) => format!("${number}::pg_catalog.int8"),
        Value::Bytes(_) => format!("${number}::pg_catalog.bytea"),
        Value::Text(_) | Value::Raw(_) => format!("${number}::pg_catalog.text"),
    },
    // Materialised, so that the planner does not find the ids again in another way.
    among: |found| {
        (
            format!("WITH due AS MATERIALIZED ({found}) "),
            "id IN (SELECT id FROM due)".to_owned(),
        )
    },
};

/// Each step is one descent in an index.
const REALMS: &str = concat!(
    "SELECT seen.*, found.realm FROM ",
    seen_once!("realms"),
    " LEFT JOIN (
    WITH RECURSIVE realms (realm, number) AS (
        SELECT pg_catalog.min(realm), 1 FROM @.tower_api_keys
        UNION ALL
        SELECT (SELECT pg_catalog.min(keys.realm) FROM @.tower_api_keys AS keys
            WHERE keys.realm @> realms.realm), number @+ 1
        FROM realms WHERE realm IS NOT NULL AND number @< $1
    ) SELECT realm FROM realms WHERE realm IS NOT NULL
) AS found ON true"
);

/// The source of a statement's rows: a connection of the store, or the transaction of a caller.
pub(super) trait Source {
    /// What is read of each row, while the server prepares those after it.
    fn read<T: Send>(
        &mut self,
        statement: &Statement,
        read: impl Fn(PgRow) -> T + Send + Sync,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send;
}

impl Source for &Connections {
    async fn read<T: Send>(
        &mut self,
        statement: &Statement,
        read: impl Fn(PgRow) -> T + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let query = |tables: &Tables| bound(tables, statement);
        Connections::read(self, "list", query, read).await
    }
}

/// A row of a page.
struct Listed {
    position: Position,
    record: Result<Arc<KeyRecord>, StoreError>,
    last_used: Option<i64>,
}

impl Listed {
    /// `None` for the one row of an answer without records.
    fn of(row: &PgRow, realm: &Realm) -> Result<Option<Self>, StoreError> {
        let (Some(position), Some(record)) = (position(row)?, to_record(row, realm).transpose())
        else {
            return Ok(None);
        };
        let last_used = column(row, SEEN + Row::COLUMNS.len())?;
        Ok(Some(Self {
            position,
            record,
            last_used,
        }))
    }
}

pub(super) async fn list(
    source: &mut impl Source,
    realm: &Realm,
    query: &ListQuery,
) -> Result<Page, StoreError> {
    let asked = ListStatements::new(&DIALECT, realm, query);
    // No text of Postgres holds NUL, so no key has one.
    let texts = [query.subject.as_deref(), query.id_prefix.as_deref()];
    let has_nul = texts.into_iter().flatten().any(|text| text.contains('\0'));
    if asked.is_nothing() || has_nul {
        return Ok(Page::default());
    }
    let way = way(source, &asked).await?;
    let mut page = PageBuilder::new(query);
    loop {
        let missing = page.missing();
        let statement = asked.page(way, page.after(), missing);
        let rows = source.read(&statement, |row| Listed::of(&row, realm).transpose());
        let rows = rows.await?.into_iter().flatten();
        let mut listed = rows.collect::<Result<Vec<Listed>, StoreError>>()?;
        // A join has its own order. Rows that are sorted already cost one comparison each.
        if query.newest_first {
            listed.sort_by_key(|row| Reverse((row.position.issued_at, row.position.id.clone())));
        } else {
            listed.sort_by(|one, other| one.position.id.cmp(&other.position.id));
        }
        let count = listed.len();
        for row in listed {
            if !page.take(row.position, row.record, row.last_used) {
                return Ok(page.page());
            }
        }
        if missing.is_none_or(|missing| count <= missing) {
            return Ok(page.page());
        }
    }
}

async fn way(source: &mut impl Source, asked: &ListStatements<'_>) -> Result<Way, StoreError> {
    for (filter, few) in asked.filters() {
        let count = asked.count(filter, few);
        let counts = source.read(&count, |row| column(&row, SEEN)).await?;
        let found: Option<i64> = counts.into_iter().next().transpose()?;
        if found.is_some_and(|found| found <= few) {
            return Ok(Way::By(filter));
        }
    }
    Ok(asked.other_way())
}

/// A statement that always has a row: the server's state and, if there are any, the columns of each row.
pub(super) fn bound(
    tables: &Tables,
    statement: &Statement,
) -> Query<'static, Postgres, PgArguments> {
    let sql = format!(
        concat!(
            "SELECT seen.*, found.* FROM ",
            seen_once!("list"),
            " LEFT JOIN ({}) AS found ON true"
        ),
        statement.sql
    );
    let mut query = sqlx::query(AssertSqlSafe(tables.text(&qualified(&sql))));
    for value in statement.values.iter().cloned() {
        query = match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
            Value::Raw(bytes) => query.bind(String::from_utf8_lossy(&bytes).into_owned()),
        };
    }
    query
}

/// Names the schema of every operator and function in a statement that SQLite has too.
pub(super) fn qualified(sql: &str) -> String {
    let mut named = sql.replace(" IN (SELECT ", " @= ANY (SELECT ");
    for (plain, name) in [
        (" = ", " @= "),
        (" < ", " @< "),
        (" > ", " @> "),
        (" <= ", " @<= "),
        (" >= ", " @>= "),
        (" + 0", " @+ 0"),
        (" && ", " @&& "),
        (" || ", " @|| "),
        ("count(*)", "pg_catalog.count(*)"),
        ("string_to_array(", "pg_catalog.string_to_array("),
    ] {
        named = named.replace(plain, name);
    }
    // Lists of numbers.
    let mut pieces = named.split(" IN (");
    let mut sql = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (list, rest) = piece.split_once(')').unwrap_or((piece, ""));
        for text in [" @= ANY (ARRAY[", list, "])", rest] {
            sql.push_str(text);
        }
    }
    sql
}

fn position(row: &PgRow) -> Result<Option<Position>, StoreError> {
    let id: Option<&str> = column(row, SEEN)?;
    id.map(|id| {
        let issued_at: Option<i64> = column(row, SEEN + 5)?;
        let (id, issued_at) = (id.as_bytes().to_vec(), issued_at.unwrap_or(-1));
        Ok(Position::new(id, issued_at))
    })
    .transpose()
}

pub(super) async fn realms(connections: &Connections) -> Result<Vec<Realm>, StoreError> {
    let most = i32::try_from(MOST_REALMS).unwrap_or(i32::MAX);
    let query = |tables: &Tables| tables.query(REALMS).bind(most);
    let rows = connections.rows("realms", query).await?;
    let mut realms = Vec::new();
    for row in &rows {
        let realm: Option<&str> = column(row, SEEN)?;
        // An unreadable name is of no use to an operator.
        realms.extend(realm.and_then(|realm| realm.parse::<Realm>().ok()));
    }
    realms.sort();
    Ok(realms)
}
