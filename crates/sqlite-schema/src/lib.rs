//! The schema and the statements that the SQLite stores of [`tower-api-key`](tower_api_key) share.
//!
//! `tower-api-key-sqlite` keeps keys by rusqlite, and `tower-api-key-sqlite-sqlx` over a pool of sqlx. A program links
//! SQLite once, so neither depends on the other. The triggers, the texts of the statements and the advice in errors
//! are here, and a file that one of them makes is opened by the other.
//!
//! This package is not for applications. Its items change with the stores, which depend on it by the exact version.
//!
//! Every statement names the schema `main`, so that no temporary table of an application takes the place of a table of
//! keys. The placeholders are `?1` to `?N`.

#![forbid(unsafe_code)]

pub mod failure;
pub mod history;
pub mod limits;
pub mod lists;
pub mod notices;
pub mod purges;
pub mod records;
pub mod revocations;
pub mod schema;
pub mod usages;
