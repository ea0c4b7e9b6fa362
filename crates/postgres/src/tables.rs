//! The tables by their full names, and statements that name them.
//!
//! A statement writes the schema as `@.`, inside a literal as `@literal.`, and an operator as `@=`. It
//! names the schema of every function and type. So no name can be shadowed, neither by a temporary table
//! or type of a session that others used before nor by a schema that a `search_path` puts in front of
//! `pg_catalog`.

use std::sync::{Arc, LazyLock};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Error as SqlError, PgConnection, Postgres, Row as _};
use tower_api_key::store::sql::Row;

/// The first four columns of every answer: whether its server is in recovery, which server it is (when
/// it was started, in microseconds), whether row-level security hides rows from this role, and which
/// statement it answers. A pooler can mix up the last if it shares sessions and does not support
/// prepared statements.
macro_rules! seen {
    ($statement:literal) => {
        concat!(
            "pg_catalog.pg_is_in_recovery(), \
             (EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) @* 1000000)::pg_catalog.int8, \
             pg_catalog.row_security_active('@literal.tower_api_keys'::pg_catalog.regclass), '",
            $statement,
            "'::pg_catalog.text"
        )
    };
}
pub(super) use seen;

/// The same as a table of one row, for an answer of many. The server works it out once: it computes what is selected
/// next to the columns of a join anew for each row.
macro_rules! seen_once {
    ($statement:literal) => {
        concat!(
            "(SELECT ",
            $crate::tables::seen!($statement),
            " OFFSET 0) AS seen"
        )
    };
}
pub(super) use seen_once;

/// The database of a session in its server.
macro_rules! home {
    () => {
        "(SELECT oid::pg_catalog.int8 FROM pg_catalog.pg_database \
         WHERE datname @= pg_catalog.current_database())"
    };
}
pub(super) use home;

/// The channel of the notifications to replicas. A notification is about one database.
macro_rules! channel {
    () => {
        "tower_api_keys"
    };
}
pub(super) use channel;

/// How many columns [`seen!`] has.
pub(super) const SEEN: usize = 4;

pub(super) static SELECT_BY_DIGEST: LazyLock<String> =
    LazyLock::new(|| select(seen_once!("find"), "digest @= $1 AND realm @= $2"));
pub(super) static SELECT_BY_ID: LazyLock<String> =
    LazyLock::new(|| select(seen_once!("get"), "id @= $1 AND realm @= $2"));
pub(super) static SELECT_BY_IDS: LazyLock<String> =
    LazyLock::new(|| select(seen_once!("get_many"), "id @= ANY ($1) AND realm @= $2"));

/// Always a row: the server's state and, if there are records, the columns of each.
fn select(seen: &str, condition: &str) -> String {
    let names = Row::NAMES;
    format!(
        "SELECT seen.*, found.* FROM {seen} LEFT JOIN (\
         SELECT {names} FROM @.tower_api_keys WHERE {condition}) AS found ON true"
    )
}

/// The schema of the tables.
#[derive(Debug)]
pub(super) struct Tables {
    /// As an identifier.
    quoted: String,
    /// As an identifier, inside a literal.
    literal: String,
    find: Arc<str>,
}

/// In the order of the search path, without what is temporary.
const FIND: &str = "SELECT path.name::pg_catalog.text
FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path (name, place)
JOIN pg_catalog.pg_namespace AS space ON space.nspname OPERATOR(pg_catalog.=) path.name
JOIN pg_catalog.pg_class AS class ON class.relnamespace OPERATOR(pg_catalog.=) space.oid
WHERE class.relname OPERATOR(pg_catalog.=) 'tower_api_key_migrations'
    AND NOT pg_catalog.starts_with(path.name::pg_catalog.text, 'pg_temp_')
ORDER BY path.place LIMIT 1";

const FIRST: &str = "SELECT schema::pg_catalog.text
FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path (schema, place)
WHERE NOT pg_catalog.starts_with(schema::pg_catalog.text, 'pg_temp_') ORDER BY place LIMIT 1";

impl Tables {
    pub(super) fn new(schema: &str) -> Self {
        let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
        let mut tables = Self {
            literal: quoted.replace('\'', "''"),
            quoted,
            find: "".into(),
        };
        tables.find = tables.text(&SELECT_BY_DIGEST).into();
        tables
    }

    /// The schema in which the tables are, or `None`.
    pub(super) async fn find(connection: &mut PgConnection) -> Result<Option<Self>, SqlError> {
        Self::named_by(connection, FIND).await
    }

    /// The schema in which a table comes into being whose schema is not named, or `None`.
    pub(super) async fn first(connection: &mut PgConnection) -> Result<Option<Self>, SqlError> {
        Self::named_by(connection, FIRST).await
    }

    async fn named_by(
        connection: &mut PgConnection,
        sql: &'static str,
    ) -> Result<Option<Self>, SqlError> {
        // The simple protocol, which every pooler knows.
        let rows = sqlx::raw_sql(sql).fetch_all(connection).await?;
        let name = rows.first().map(|row| row.try_get::<String, _>(0));
        Ok(name.transpose()?.map(|name| Self::new(&name)))
    }

    /// The schema's name as an identifier.
    pub(super) fn quoted(&self) -> &str {
        &self.quoted
    }

    /// A statement that names its tables.
    pub(super) fn query<'q>(&self, sql: &'static str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(self.text(sql)))
    }

    /// The statement of a look-up, which is written out once.
    pub(super) fn find_query<'q>(&self) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.find)))
    }

    /// The text of a statement that names its tables.
    pub(super) fn text(&self, sql: &str) -> String {
        let mut pieces = sql.split('@');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let schemas = [("literal.", &self.literal), (".", &self.quoted)];
            let named = schemas
                .into_iter()
                .find_map(|(sign, schema)| Some((schema, piece.strip_prefix(sign)?)));
            if let Some((schema, rest)) = named {
                text.push_str(schema);
                text.push('.');
                text.push_str(rest);
            } else {
                let end = piece.find(' ').unwrap_or(piece.len());
                let (operator, rest) = piece.split_at(end);
                text.push_str("OPERATOR(pg_catalog.");
                text.push_str(operator);
                text.push(')');
                text.push_str(rest);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Tables;

    #[test]
    fn a_schema_is_a_name_whatever_is_in_it() {
        let tables = Tables::new("a\"b'@.c");
        let text = tables.text("SELECT '@literal.keys'::regclass FROM @.keys WHERE a @<= $1");
        let literal = r#"SELECT '"a""b''@.c".keys'::regclass FROM "a""b'@.c".keys WHERE a OPERATOR(pg_catalog.<=) $1"#;
        assert_eq!(text, literal);
    }
}
