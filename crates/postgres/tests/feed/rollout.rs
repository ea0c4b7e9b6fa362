//! Services of two versions over one database.

use tower_api_key::replica::{Feed, Realms};
use tower_api_key::store::StoreErrorKind;

use super::super::errors::source;
use super::super::{MIGRATIONS, connect, ring_over};
use tower_api_key_test_support::pg_server::{database, empty_database, execute, patient};
use tower_api_key_test_support::support::issue;

/// The migrations of the former version.
pub(super) const FORMER: [&str; 7] = [
    include_str!("../../migrations/0001_keys.sql"),
    include_str!("../../migrations/0002_revocable.sql"),
    include_str!("../../migrations/0003_subjects.sql"),
    include_str!("../../migrations/0004_listing.sql"),
    include_str!("../../migrations/0005_prefix_and_lists.sql"),
    include_str!("../../migrations/0006_caveats.sql"),
    include_str!("../../migrations/0007_descriptions.sql"),
];

#[tokio::test]
async fn a_schema_without_the_feed_serves_requests_and_no_replica() {
    let url = empty_database().await;
    for file in FORMER {
        execute(&url, file).await.unwrap();
    }
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let issued = issue(&ring, "read").await;
    let error = store.head().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    let advice = "run `tower-api-key migrate`, or apply the migrations of tower-api-key-postgres: the schema is of \
                  version 7, and 14 is needed";
    assert_eq!(source(&error), advice);

    // The store goes on, and so does the feed after the migration.
    let missing = MIGRATIONS - u32::try_from(FORMER.len()).unwrap();
    assert_eq!(patient().migrate(&url).await.unwrap(), missing);
    ring.verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
    store.head().await.unwrap();
    assert_eq!(store.page(&Realms::all(), None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_read_if_it_says_that_it_can_be() {
    let url = database().await;
    let next = |number: u32, readable_from: &str| {
        let version = MIGRATIONS + number;
        format!(
            "INSERT INTO tower_api_key_migrations (version, readable_from) VALUES ({version}, {readable_from})"
        )
    };
    execute(&url, &next(1, &MIGRATIONS.to_string()))
        .await
        .unwrap();
    let store = connect(&url).await;
    issue(&ring_over(store.clone()), "read").await;
    store.head().await.unwrap();
    // A service that migrates as it starts goes on too.
    assert_eq!(patient().migrate(&url).await.unwrap(), 0);

    // Each of the later ones counts.
    execute(&url, &next(2, &(MIGRATIONS + 1).to_string()))
        .await
        .unwrap();
    execute(&url, &next(3, &MIGRATIONS.to_string()))
        .await
        .unwrap();
    let newest = MIGRATIONS + 3;
    let advice = format!(
        "update this program: the schema of the database is of version {newest}, and it reads {MIGRATIONS}"
    );
    for error in [
        patient().connect(&url).await.unwrap_err(),
        patient().migrate(&url).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Schema);
        assert_eq!(source(&error), advice);
    }
}
