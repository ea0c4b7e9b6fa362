//! What a run without the feature `postgres` says of itself.

use std::io::Write;

#[test]
fn the_store_in_postgres_was_not_tested_without_its_feature() {
    // Past the test runner's capture, so that it is seen.
    let mut terminal = std::io::stderr();
    writeln!(
        terminal,
        "not run: the tests of PostgresStore, which need `--features postgres` and an installed Postgres"
    )
    .unwrap();
}
