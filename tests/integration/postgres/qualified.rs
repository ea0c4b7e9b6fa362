//! Tables of the same names, elsewhere.

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key::testing::contract;

use super::{MIGRATIONS, connect, ring_over};
use crate::pg_server::{database, execute, patient};
use crate::support::issue;

/// Tables of those names which nobody can use, and which every later session finds first.
const DECOY: &str = "CREATE SCHEMA decoy;
CREATE TABLE decoy.tower_api_keys (decoy int);
CREATE TABLE decoy.tower_api_key_migrations (decoy int)";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_every_statement_names_the_schema_that_was_found_first() {
    contract(async || {
        let url = database().await;
        let store = connect(&url).await;
        execute(&url, DECOY).await.unwrap();
        let name = url.rsplit_once('/').unwrap().1;
        let path = format!("ALTER DATABASE {name} SET search_path = decoy");
        execute(&url, &path).await.unwrap();
        store
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_schema_is_named_by_the_options_too() {
    let url = crate::pg_server::empty_database().await;
    execute(&url, "CREATE SCHEMA \"the 'keys\"; CREATE SCHEMA decoy")
        .await
        .unwrap();
    let options = patient().schema("the 'keys");
    assert_eq!(options.migrate(&url).await.unwrap(), MIGRATIONS);
    assert_eq!(options.migrate(&url).await.unwrap(), 0);
    let ring = ring_over(options.connect(&url).await.unwrap());
    issue(&ring, "read").await;
    let sql = "SELECT count(*) FROM \"the 'keys\".tower_api_keys";
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let count: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(count, 1);
}
