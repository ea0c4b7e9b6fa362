//! Records on their way into the table.

use std::sync::LazyLock;

use sqlx::Error as SqlError;
use sqlx::postgres::PgConnection;
use tower_api_key::KeyRecord;
use tower_api_key::store::sql::{Column, ColumnType, ColumnValue, Row};
use tower_api_key::store::{StoreError, StoreErrorKind, Write};

use super::error::because;
use super::tables::Tables;

/// By what an update finds a record, in addition to its realm and its version.
const FIND_BY: [&str; 4] = ["id", "digest", "subject", "lineage"];

/// Sets even the columns that no change of a key changes: the guard of the table then refuses such a
/// change, instead of passing it over.
static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let (found, set): (Vec<&Column>, Vec<_>) = Row::COLUMNS
        .iter()
        .partition(|column| FIND_BY.contains(&column.name));
    let set = set.iter().map(|Column { name, .. }| match *name {
        "label" | "metadata" => {
            format!("{name} = CASE WHEN new.describes @= 1 THEN new.{name} ELSE keys.{name} END")
        }
        name => format!("{name} = new.{name}"),
    });
    let found = found
        .iter()
        .map(|Column { name, .. }| format!(" AND keys.{name} @= new.{name}"));
    format!(
        "UPDATE @.tower_api_keys AS keys SET {} FROM {} \
         WHERE keys.version @= new.expected AND keys.realm @= new.realm{}",
        set.collect::<Vec<_>>().join(", "),
        new(&[
            ("expected", ColumnType::Integer),
            ("describes", ColumnType::Integer)
        ]),
        found.collect::<String>(),
    )
});

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names = Row::NAMES;
    format!(
        "INSERT INTO @.tower_api_keys (realm, {names}) SELECT realm, {names} FROM {}",
        new(&[])
    )
});

/// The rows of the arguments: the realm, the columns, and these others.
fn new(others: &[(&str, ColumnType)]) -> String {
    let columns = Row::COLUMNS
        .iter()
        .map(|column| (column.name, column.column_type));
    let columns = [("realm", ColumnType::Text)].into_iter().chain(columns);
    let (names, arrays): (Vec<&str>, Vec<String>) = columns
        .chain(others.iter().copied())
        .zip(1..)
        .map(|((name, column_type), number)| {
            (name, format!("${number}::{}[]", type_of(column_type)))
        })
        .unzip();
    format!(
        "unnest({}) AS new ({})",
        arrays.join(", "),
        names.join(", ")
    )
}

fn type_of(column: ColumnType) -> &'static str {
    match column {
        ColumnType::Text => "pg_catalog.text",
        ColumnType::Integer => "bigint",
        ColumnType::Blob => "pg_catalog.bytea",
    }
}

/// Records by columns: one statement for all of them, whatever the number of keys.
#[derive(Default)]
pub(super) struct Rows {
    realms: Vec<String>,
    columns: Vec<Values>,
    /// The versions that updates replace.
    expected: Vec<i64>,
    /// 1 for an update that sets the label or the metadata.
    describes: Vec<i64>,
}

/// The values of a column.
enum Values {
    Texts(Vec<Option<String>>),
    Integers(Vec<Option<i64>>),
    Blobs(Vec<Vec<u8>>),
}

impl Rows {
    pub(super) fn push(&mut self, record: &KeyRecord) -> Result<(), StoreError> {
        let row = Row::of(record)?;
        let has_nul = |value: &ColumnValue<'_>| matches!(value, ColumnValue::Text(Some(text)) if text.contains('\0'));
        if row.values().iter().any(has_nul) {
            return Err(because(
                StoreErrorKind::Unavailable,
                "Postgres cannot store the character NUL: remove it from the label",
            ));
        }
        if self.columns.is_empty() {
            let empty = |column: &Column| match column.column_type {
                ColumnType::Text => Values::Texts(Vec::new()),
                ColumnType::Integer => Values::Integers(Vec::new()),
                ColumnType::Blob => Values::Blobs(Vec::new()),
            };
            self.columns = Row::COLUMNS.iter().map(empty).collect();
        }
        for (values, value) in self.columns.iter_mut().zip(row.values()) {
            match (values, value) {
                (Values::Texts(texts), ColumnValue::Text(text)) => {
                    texts.push(text.map(str::to_owned));
                }
                (Values::Integers(integers), ColumnValue::Integer(integer)) => {
                    integers.push(integer);
                }
                (Values::Blobs(blobs), ColumnValue::Blob(blob)) => blobs.push(blob.to_vec()),
                // A value has the type of its column.
                _ => return Err(StoreErrorKind::Corrupt.into()),
            }
        }
        self.realms.push(record.realm().to_string());
        Ok(())
    }

    /// A record that replaces the one of this version.
    pub(super) fn push_over(&mut self, write: &Write, version: i64) -> Result<(), StoreError> {
        self.push(&write.record)?;
        self.expected.push(version);
        self.describes.push(i64::from(write.describes()));
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.realms.len() as u64
    }

    /// How many rows were inserted: all, unless a rule of the table passes over one.
    pub(super) async fn insert(
        self,
        tables: &Tables,
        connection: &mut PgConnection,
    ) -> Result<u64, SqlError> {
        self.run(&INSERT, tables, connection).await
    }

    /// How many records were as expected.
    pub(super) async fn update(
        self,
        tables: &Tables,
        connection: &mut PgConnection,
    ) -> Result<u64, SqlError> {
        self.run(&UPDATE, tables, connection).await
    }

    async fn run(
        self,
        sql: &'static str,
        tables: &Tables,
        connection: &mut PgConnection,
    ) -> Result<u64, SqlError> {
        let mut query = tables.query(sql).bind(self.realms);
        for values in self.columns {
            query = match values {
                Values::Texts(texts) => query.bind(texts),
                Values::Integers(integers) => query.bind(integers),
                Values::Blobs(blobs) => query.bind(blobs),
            };
        }
        if !self.expected.is_empty() {
            query = query.bind(self.expected).bind(self.describes);
        }
        query
            .execute(connection)
            .await
            .map(|done| done.rows_affected())
    }
}
