//! Notices of expiry: what a turn looks at.

use rusqlite::{Connection, params};
use tower_api_key::store::ExpiryLadder;
use tower_api_key_sqlite_schema::notices::Notices;
use tower_api_key_sqlite_schema::schema::MIGRATIONS;

use super::super::schema::migrate;
use super::place;

/// Only the index of claims, by each of its columns.
#[test]
fn a_turn_reads_keys_that_are_due_alone() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &place(), &MIGRATIONS).unwrap();
    let statements = Notices::new(&ExpiryLadder::default()).unwrap();
    let explain = format!("EXPLAIN QUERY PLAN {}", statements.is_due);
    let mut explained = connection.prepare(&explain).unwrap();
    let rows = explained.query_map(params!["acme", 1, 100], |row| row.get(3));
    let steps: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
    let of_keys = steps.iter().filter(|step| step.contains("keys"));
    let of_keys: Vec<&str> = of_keys.map(String::as_str).collect();
    let by = "USING INDEX api_keys_by_notice (realm=? AND";
    assert_eq!(
        of_keys,
        [
            format!("SEARCH main.api_keys {by} <expr>>?)"),
            format!("SEARCH keys {by} <expr>=? AND expires_at>? AND expires_at<?)"),
        ]
    );
}
