//! The store in Postgres, on a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod blind;
mod concurrency;
mod errors;
mod failover;
mod faults;
mod feed;
mod guard;
mod histories;
mod limits;
mod listing;
mod notices;
mod poolers;
mod pools;
mod purging;
mod qualified;
mod revoking;
mod standstill;
mod subjects;
mod transactions;
mod usage;

use std::time::Duration;

use sqlx::postgres::PgConnection;
use tower_api_key::store::ListQuery;
use tower_api_key::{
    Grant, KeyRing, KeyRingBuilder, ManualClock, RevocationReason, Timestamp, VerifyErrorKind,
};
use tower_api_key_contract::contract;
use tower_api_key_postgres::PostgresStore;

use tower_api_key_test_support::pg_server::{database, empty_database, execute, patient};
use tower_api_key_test_support::support::{START, issue};

/// The number of files of the schema.
const MIGRATIONS: u32 = 15;

/// Takes migration 0015 back, for a test of a schema from before.
macro_rules! undo_noted_notices {
    () => {
        "DROP FUNCTION tower_api_keys_noted_expiry() CASCADE;
        ALTER TABLE tower_api_key_history DROP CONSTRAINT tower_api_key_history_action_check,
            ADD CONSTRAINT tower_api_key_history_action_check
            CHECK (action IN ('added', 'changed', 'removed', 'emptied', 'forgotten'));
        DELETE FROM tower_api_key_migrations WHERE version > 14"
    };
}
const UNDO_NOTED_NOTICES: &str = undo_noted_notices!();

/// Takes migrations 0014 and 0015 back.
macro_rules! undo_removals {
    () => {
        concat!(
            undo_noted_notices!(),
            "; CREATE OR REPLACE FUNCTION tower_api_keys_removed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            PERFORM tower_api_key_commit_durably();
            INSERT INTO tower_api_key_changes (xid, digest)
            SELECT pg_current_xact_id(), removed.digest FROM removed
            WHERE octet_length(removed.digest) = 32 ON CONFLICT DO NOTHING;
            RETURN NULL;
        END $$;
        ALTER TABLE tower_api_key_changes DROP COLUMN removed_too;
        DELETE FROM tower_api_key_migrations WHERE version > 13"
        )
    };
}
const UNDO_REMOVALS: &str = undo_removals!();

/// Takes migrations 0013 to 0015 back.
const UNDO_SUBJECTS: &str = concat!(
    undo_removals!(),
    "; DROP FUNCTION tower_api_keys_counted() CASCADE; \
    DROP FUNCTION tower_api_keys_discounted() CASCADE; DROP FUNCTION tower_api_key_subjects_gone() CASCADE; \
    DROP FUNCTION tower_api_key_within(text, text, bigint, bigint); DROP TABLE tower_api_key_subjects; \
    DELETE FROM tower_api_key_migrations WHERE version > 12"
);

/// A ring `acme` with the realm `orders`, whose look-ups may be slow on a loaded machine.
fn builder() -> KeyRingBuilder {
    KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(Duration::from_mins(1))
}

/// The same ring over a given store, with real time.
fn ring_over(store: PostgresStore) -> KeyRing {
    builder().build(store).unwrap()
}

async fn connect(url: &str) -> PostgresStore {
    patient().connect(url).await.unwrap()
}

/// Whether a session in this connection's database waits for a lock.
async fn someone_waits(connection: &mut PgConnection) -> bool {
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON database = oid
        WHERE datname = current_database() AND NOT granted";
    let count: i64 = sqlx::query_scalar(waiting)
        .fetch_one(connection)
        .await
        .unwrap();
    count > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_postgres_keeps_the_contract() {
    contract(async || connect(&database().await).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn keys_outlive_the_store_that_they_were_issued_through() {
    let url = database().await;
    let clock = ManualClock::new(START);
    let ring = || async {
        builder()
            .clock(clock.clone())
            .build(connect(&url).await)
            .unwrap()
    };
    let first = ring().await;
    let grant = Grant::new("alice \u{1f511}")
        .scopes(["read", "write"])
        .label("'; DROP TABLE tower_api_keys; --")
        .metadata([("team", "\u{1}\"\\")]);
    let issued = first.issue(grant).await.unwrap();
    drop(first);

    let second = ring().await;
    let key = second.verify(issued.secret().expose().as_bytes()).await;
    assert_eq!(key.unwrap().subject(), "alice \u{1f511}");
    let record = second.get(issued.record().id()).await.unwrap().unwrap();
    assert_eq!(record, *issued.record());
    let text = format!("{record:?}");
    assert!(!text.contains(issued.secret().expose()), "{text}");
}

#[tokio::test]
async fn r32_a_key_that_one_process_revokes_is_refused_by_the_next_request_to_another() {
    let url = database().await;
    let (admin, server) = (
        ring_over(connect(&url).await),
        ring_over(connect(&url).await),
    );
    let issued = issue(&admin, "read").await;
    let presented = issued.secret().expose().as_bytes();
    server.verify(presented).await.unwrap();

    let reason = RevocationReason::KeyCompromise;
    admin.revoke(issued.record().id(), reason).await.unwrap();

    let error = server.verify(presented).await.unwrap_err();
    let kind = VerifyErrorKind::Invalid(tower_api_key::InvalidCause::Revoked);
    assert_eq!(error.kind(), kind);
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough() {
    let options = patient().max_connections(0);
    let ring = ring_over(options.connect(&database().await).await.unwrap());
    let issued = issue(&ring, "read").await;
    let presented = issued.secret().expose().as_bytes();
    let waits = (0..20).map(|_| ring.verify(presented));
    for wait in waits {
        wait.await.unwrap();
    }
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_has_a_name_that_postgres_cannot_hold() {
    let ring = ring_over(connect(&database().await).await);
    let query = ListQuery::new().subject("a\0b");
    assert_eq!(ring.list(&query).await.unwrap().records(), []);
}

#[tokio::test]
async fn last_uses_are_told_in_any_number_and_order() {
    let store = connect(&database().await).await;
    let clock = ManualClock::new(START);
    let ring = builder()
        .clock(clock.clone())
        .track_last_use()
        .build(store)
        .unwrap();
    let issued = issue(&ring, "read").await;
    let id = issued.record().id();
    assert_eq!(ring.last_used(id).await.unwrap(), None);
    let mut version = None;
    for seconds in [5, 3] {
        clock.set(Timestamp::from_unix(START.as_unix() + seconds));
        ring.verify(issued.secret().expose().as_bytes())
            .await
            .unwrap();
        ring.record_uses().await.unwrap();
        let used = ring.last_used(id).await.unwrap();
        assert_eq!(used, Some(Timestamp::from_unix(START.as_unix() + 5)));
        let now = ring.get(id).await.unwrap().unwrap().version();
        assert_eq!(*version.get_or_insert(now), now);
    }
}

#[tokio::test]
async fn the_tables_may_stand_in_a_schema_of_their_own() {
    let url = empty_database().await;
    execute(&url, "CREATE SCHEMA auth").await.unwrap();
    let url = format!("{url}?options[search_path]=auth");
    assert_eq!(patient().migrate(&url).await.unwrap(), MIGRATIONS);
    let ring = ring_over(connect(&url).await);
    let issued = issue(&ring, "read").await;
    ring.verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
    let count = execute(&url, "UPDATE auth.tower_api_keys SET last_used_at = 1").await;
    assert_eq!(count.unwrap(), 1);
}

#[tokio::test]
async fn the_debug_output_shows_nothing_of_the_url() {
    let store = connect(&database().await).await;
    assert_eq!(format!("{store:?}"), "PostgresStore { .. }");
}
