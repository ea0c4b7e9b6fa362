//! The rights on the number of keys that a subject has.

use tower_api_key::Grant;

use super::{NOW, connect, fill, has, kept, limited};
use crate::{UNDO_SUBJECTS, patient};
use tower_api_key_test_support::pg_server::{database, execute};

/// A server has rights on the keys alone, from before the migration.
#[tokio::test]
async fn a_server_keeps_the_number_without_a_right_on_it() {
    let url = database().await;
    let before = format!(
        "{UNDO_SUBJECTS};
         CREATE ROLE limit_server LOGIN; CREATE ROLE limit_reader LOGIN; CREATE ROLE limit_later LOGIN;
         GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO limit_server;
         GRANT SELECT ON tower_api_keys TO limit_reader;
         GRANT SELECT ON tower_api_key_migrations TO limit_server, limit_later"
    );
    execute(&url, &before).await.unwrap();
    assert_eq!(patient().migrate(&url).await.unwrap(), 3);
    execute(
        &url,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO limit_later",
    )
    .await
    .unwrap();
    let as_role = |name: &str| url.replacen("postgres@", &format!("{name}@"), 1);
    execute(&as_role("limit_server"), &fill(0, 40, "NULL"))
        .await
        .unwrap();

    // A later role counts each time, and its keys count.
    let later = connect(&as_role("limit_later")).await;
    limited(later.clone(), 41)
        .issue(Grant::new("alice"))
        .await
        .unwrap();
    assert!(has(&later, 41, NOW).await);
    assert_eq!(kept(&url).await, None);

    let server = connect(&as_role("limit_server")).await;
    let ring = limited(server.clone(), 42);
    ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(kept(&url).await, Some(42));
    limited(later, 50).issue(Grant::new("alice")).await.unwrap();
    assert_eq!(kept(&url).await, Some(43));
    for statement in [
        "SELECT FROM tower_api_key_subjects",
        "UPDATE tower_api_key_subjects SET keys = 0",
        "DELETE FROM tower_api_key_subjects",
    ] {
        let error = execute(&as_role("limit_server"), statement).await;
        let error = error.unwrap_err().into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("42501"), "{statement}");
    }
    let ask = "SELECT tower_api_key_within('orders', 'alice', 1, 1)";
    let error = execute(&as_role("limit_reader"), ask).await.unwrap_err();
    let error = error.into_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("42501"));
    execute(&as_role("limit_server"), "DELETE FROM tower_api_keys")
        .await
        .unwrap();
    assert_eq!(kept(&url).await, None);
}

/// A role that sees every key of a table whose owner does not.
#[tokio::test]
async fn r20_a_function_that_sees_fewer_keys_counts_none() {
    let url = database().await;
    execute(&url, &fill(0, 40, "NULL")).await.unwrap();
    let owner = "CREATE ROLE limit_owner; CREATE ROLE limit_all LOGIN BYPASSRLS;
        ALTER TABLE tower_api_keys OWNER TO limit_owner; ALTER TABLE tower_api_key_subjects OWNER TO limit_owner;
        ALTER FUNCTION tower_api_key_within(text, text, bigint, bigint) OWNER TO limit_owner;
        GRANT EXECUTE ON FUNCTION tower_api_key_within(text, text, bigint, bigint) TO limit_all;
        GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO limit_all;
        GRANT SELECT ON tower_api_key_migrations TO limit_all;
        ALTER TABLE tower_api_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
    execute(&url, owner).await.unwrap();
    let store = connect(&url.replacen("postgres@", "limit_all@", 1)).await;
    assert!(has(&store, 40, NOW).await);
}
