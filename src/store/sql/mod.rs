//! For stores in SQL: records as [rows](Row) of a table, and the [statements](ListStatements) of a list.
//! Needs the feature `sql`.
//!
//! A store that keeps a history reads its entries as [`HistoryRow`]s, and one that keeps what keys were used for has
//! [`UsageRow`]s.
//!
//! # Lists
//!
//! A page is read in one of four ways. The keys of a lineage or a subject have an index in which they
//! are in order. A filter that few keys meet has an index that finds those: their ids are put in order,
//! and the first of them are read. Everything else is read in order, and passed over if a filter is not
//! met: a filter that many keys meet fills a page soon. To choose between the last two, the store first
//! counts, up to a few, because the planner of a database without statistics would guess. A list in any order that would
//! read everything in order reads it in the order of the table itself, if the database has one.
//!
//! A column of numbers that stands with `+ 0` fits no index.
//!
//! ```
//! use tower_api_key::store::ListQuery;
//! use tower_api_key::store::sql::{Dialect, ListStatements, PageBuilder, Value};
//!
//! const DIALECT: Dialect = Dialect {
//!     table: "api_keys",
//!     unused: &["coalesce(last_used_at, issued_at) <= :since"],
//!     unused_rest: "",
//!     plain_unrevoked: "revoked_at + 0 IS NULL",
//!     of_scope: "instr(' ' || scopes || ' ', ' ' || :scope || ' ') > 0",
//!     has_scope: "instr(' ' || scopes || ' ', ' ' || :scope || ' ') > 0",
//!     plain_realm: "realm || ''",
//!     plain_id: "id || ''",
//!     stored_by: None,
//!     few_in_index: 50_000,
//!     few_in_table: 5_000,
//!     place: |number, _| format!("?{number}"),
//!     among: |found| (String::new(), format!("id IN ({found})")),
//! };
//!
//! let query = ListQuery::new().subject("alice").limit(100);
//! let realm = "orders".parse()?;
//! let list = ListStatements::new(&DIALECT, &realm, &query);
//! // A store counts what the filters find first. This query has none.
//! assert!(list.filters().is_empty());
//!
//! let page = PageBuilder::new(&query);
//! let statement = list.page(list.other_way(), page.after(), page.missing());
//! assert!(statement.sql.ends_with("WHERE realm = ?1 AND subject = ?2 ORDER BY id LIMIT ?3"));
//! assert_eq!(statement.values[1], Value::Text("alice".to_owned()));
//! // Run it, and give each row to `page.take`: the columns of `Row`, and after them the last use.
//! assert!(page.page().is_empty());
//! # Ok::<(), tower_api_key::Error>(())
//! ```

mod conditions;
mod dialect;
mod filter;
mod list_statements;
mod page;
mod page_builder;
mod position;

mod statement;
mod value;
mod way;

pub use dialect::Dialect;
pub use filter::Filter;
pub use list_statements::ListStatements;
pub use page_builder::PageBuilder;
pub use position::Position;
pub use statement::Statement;
pub use value::Value;
pub use way::Way;

pub use crate::record::row::{
    Column, ColumnType, ColumnValue, ReadColumns, Row, column_time, moment, revocation_time,
};
pub use crate::record::unfit::unreadable;
pub use crate::record::usage_row::UsageRow;
pub use crate::store::history::HistoryRow;
