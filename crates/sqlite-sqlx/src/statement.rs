//! Statements and the columns of their rows.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Error as SqlError, Row as _, Sqlite, Type};
use tower_api_key::store::sql::{Statement, Value};

pub(super) type Asked<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A statement whose text does not depend on what was asked for, with its values.
pub(super) fn asked(sql: &'static str) -> Asked<'static> {
    sqlx::query(sql)
}

/// A statement that was composed. Its text has no value in it.
pub(super) fn composed(statement: Statement) -> Asked<'static> {
    let mut asked = sqlx::query(AssertSqlSafe(statement.sql));
    for value in statement.values {
        asked = match value {
            Value::Number(number) => asked.bind(number),
            Value::Text(text) => asked.bind(text),
            Value::Raw(bytes) | Value::Bytes(bytes) => asked.bind(bytes),
        };
    }
    asked
}

/// The first row.
pub(super) async fn first(
    connection: &mut SqliteConnection,
    asked: Asked<'_>,
) -> Result<Option<SqliteRow>, SqlError> {
    // All rows, so that no statement stays open and its transaction can end.
    let rows = asked.fetch_all(connection).await?;
    Ok(rows.into_iter().next())
}

pub(super) fn column<'r, T>(row: &'r SqliteRow, place: usize) -> Result<T, SqlError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(place)
}
