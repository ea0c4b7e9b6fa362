//! A store that cannot see what it should: an outage, and not an unknown key.

use std::time::{Duration, Instant};

use tower_api_key::store::StoreErrorKind;
use tower_api_key::{Issued, KeyRing, VerifyErrorKind};

use super::errors::source;
use super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};
use tower_api_key_test_support::support::issue;

/// The bound in the documentation, plus the delay of a loaded machine.
const BOUND: Duration = Duration::from_secs(5 + 3);

/// A database whose role `service` has the rights that the documentation requires, on its own server.
async fn served(server: &PgServer) -> (String, String) {
    let url = server.database().await;
    let role = "CREATE ROLE service LOGIN;
        GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO service;
        GRANT SELECT ON tower_api_key_migrations TO service";
    execute(&url, role).await.unwrap();
    let service = url.replace("postgres@", "service@");
    (url, service)
}

/// Asks until the store has noticed. Before that, the key passes or there is an outage.
async fn notices(ring: &KeyRing, issued: &Issued) -> String {
    let presented = issued.secret().expose().as_bytes();
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    let begun = Instant::now();
    loop {
        match ring.verify(presented).await {
            Ok(_) => assert!(begun.elapsed() < BOUND, "nothing is noticed"),
            Err(error) => {
                assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
                let error = ring.get(issued.record().id()).await.unwrap_err();
                return source(&error);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const HIDDEN: &str = "give the role BYPASSRLS, or disable row-level security on tower_api_keys: \
                      a policy may hide rows from it";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_policy_that_hides_rows_is_an_outage() {
    let server = PgServer::start("off");
    let (url, service) = served(&server).await;
    let ring = ring_over(connect(&service).await);
    let issued = issue(&ring, "read").await;
    let presented = issued.secret().expose().as_bytes();
    ring.verify(presented).await.unwrap();

    let enable = "ALTER TABLE tower_api_keys ENABLE ROW LEVEL SECURITY";
    execute(&url, enable).await.unwrap();
    let error = ring.verify(presented).await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    let error = ring.get(issued.record().id()).await.unwrap_err();
    assert_eq!(source(&error), HIDDEN);
    let error = patient().connect(&service).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(source(&error), HIDDEN);

    // The owner sees every row unless row security is forced.
    let owner = "ALTER TABLE tower_api_keys OWNER TO service";
    execute(&url, owner).await.unwrap();
    let mut passes = ring.verify(presented).await.is_ok();
    for _ in 0..500 {
        if passes {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        passes = ring.verify(presented).await.is_ok();
    }
    assert!(passes, "the owner sees its table");
    let force = "ALTER TABLE tower_api_keys FORCE ROW LEVEL SECURITY";
    execute(&url, force).await.unwrap();
    let error = ring.get(issued.record().id()).await.unwrap_err();
    assert_eq!(source(&error), HIDDEN);
    let error = ring.verify(presented).await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_schema_of_another_version_is_noticed_while_the_service_runs() {
    let server = PgServer::start("off");
    let (url, service) = served(&server).await;
    let ring = ring_over(connect(&service).await);
    let issued = issue(&ring, "read").await;
    let newer = "INSERT INTO tower_api_key_migrations (version) VALUES (99)";
    execute(&url, newer).await.unwrap();
    let said = notices(&ring, &issued).await;
    assert!(said.starts_with("update this program: "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_view_in_the_place_of_the_table_is_an_outage() {
    let server = PgServer::start("off");
    let (url, service) = served(&server).await;
    let ring = ring_over(connect(&service).await);
    let issued = issue(&ring, "read").await;
    let view = "BEGIN; ALTER TABLE tower_api_keys RENAME TO real_keys;
        CREATE VIEW tower_api_keys AS SELECT * FROM real_keys;
        GRANT SELECT ON tower_api_keys TO service; COMMIT";
    execute(&url, view).await.unwrap();
    let said = notices(&ring, &issued).await;
    assert!(
        said.ends_with("tower_api_keys is a table that they did not create"),
        "{said}"
    );
    let error = patient().connect(&service).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_what_the_role_may_not_read_is_an_outage() {
    let server = PgServer::start("off");
    let (url, service) = served(&server).await;
    let ring = ring_over(connect(&service).await);
    let issued = issue(&ring, "read").await;
    let presented = issued.secret().expose().as_bytes();
    for change in [
        "REVOKE SELECT ON tower_api_keys FROM service",
        "GRANT SELECT ON tower_api_keys TO service; ALTER TABLE tower_api_keys RENAME COLUMN label TO name",
    ] {
        execute(&url, change).await.unwrap();
        let error = ring.verify(presented).await.unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    }
}

/// An issued key exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_an_insertion_that_the_table_passes_over_is_a_failure() {
    let server = PgServer::start("off");
    let (url, service) = served(&server).await;
    let rule = "CREATE RULE nothing AS ON INSERT TO tower_api_keys DO INSTEAD NOTHING";
    execute(&url, rule).await.unwrap();
    let ring = ring_over(connect(&service).await);
    let error = ring
        .issue(tower_api_key::Grant::new("alice"))
        .await
        .unwrap_err();
    assert_eq!(
        source(&error),
        "drop the rule or the trigger of tower_api_keys that skips inserts"
    );
}
