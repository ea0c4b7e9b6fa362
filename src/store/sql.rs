//! For stores in SQL: records as [rows](Row) of a table. Needs the feature `sql`.

pub use crate::record::row::{
    Column, ColumnType, ColumnValue, ReadColumns, Row, column_time, moment, revocation_time,
    unreadable,
};
