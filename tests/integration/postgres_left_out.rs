//! The message of a run without the feature `postgres`.

#[test]
fn the_store_in_postgres_was_not_tested_without_its_feature() {
    crate::support::not_run(format_args!(
        "the tests of PostgresStore, which need `--features postgres` and an installed Postgres"
    ));
}
