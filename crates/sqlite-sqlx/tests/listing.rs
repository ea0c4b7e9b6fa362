//! Lists of many keys.

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::pages::{COLUMNS, MANY, check, values};

use super::{over, pool, run};

#[tokio::test]
async fn pages_of_many_keys_are_those_of_few() {
    let folder = Folder::new();
    let pool = pool(&folder.keys()).await;
    let store = over(&pool).await;
    let values = values("printf('%012d', n)", "randomblob(32)");
    let rows = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY})
         INSERT INTO api_keys ({COLUMNS}) SELECT {values} FROM numbers"
    );
    run(&pool, rows).await;
    check(&store).await;
}
