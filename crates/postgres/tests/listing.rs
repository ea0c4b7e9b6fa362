//! Lists of many keys, and of keys next to rows that cannot be read.

use super::connect;
use tower_api_key_test_support::pages::{COLUMNS, MANY, check, values};
use tower_api_key_test_support::pg_server::{database, execute};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_many_keys_are_those_of_few() {
    let url = database().await;
    let store = connect(&url).await;
    let values = values("lpad(n::text, 12, '0')", "sha256(n::text::bytea)");
    let rows = format!(
        "INSERT INTO tower_api_keys ({COLUMNS}) SELECT {values} FROM generate_series(1, {MANY}) AS n"
    );
    execute(&url, &rows).await.unwrap();
    check(&store).await;
}
