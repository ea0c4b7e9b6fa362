//! Lists of many keys, and of keys next to rows that cannot be read.

use rusqlite::Connection;
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::pages::{COLUMNS, MANY, check, values};

#[tokio::test]
async fn pages_of_many_keys_are_those_of_few() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let values = values("printf('%012d', n)", "randomblob(32)");
    let rows = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY})
         INSERT INTO api_keys ({COLUMNS}) SELECT {values} FROM numbers"
    );
    Connection::open(&path).unwrap().execute(&rows, []).unwrap();
    check(&store).await;
}
