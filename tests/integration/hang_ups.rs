//! Strangers who hang up during the look-up of their key, against the real database (rule 19).

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tower_api_key::store::{KeyStore, StoreErrorKind};
use tower_api_key::{Grant, KeyRing, RevocationReason, VerifyErrorKind};
use tower_api_key_postgres::PostgresStore;

use crate::floods::WellFormed;
use crate::outcome::PASSES;
use crate::pg_server::{PgServer, database, execute, patient, until};
use crate::support::{issue, poll_once};
use crate::wire::{Server, good};

const CONNECTIONS: u32 = 10;

/// A ring over a pool whose connections are all open, and the pool's sessions.
async fn warm(url: &str, lookup_timeout: Duration) -> (KeyRing, PostgresStore, BTreeSet<i32>) {
    let options = patient().max_connections(CONNECTIONS);
    let store = options.connect(url).await.unwrap();
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(lookup_timeout)
        .build(store.clone())
        .unwrap();
    // Look-ups that wait for each other's lock take one connection each.
    let mut keeper = PgConnection::connect(url).await.unwrap();
    keeper
        .execute("BEGIN; LOCK TABLE tower_api_keys")
        .await
        .unwrap();
    let lists: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let ring = ring.clone();
            tokio::spawn(async move { ring.list(&tower_api_key::store::ListQuery::new()).await })
        })
        .collect();
    until(async || sessions(url).await.len() > CONNECTIONS as usize).await;
    keeper.execute("COMMIT").await.unwrap();
    for list in lists {
        list.await.unwrap().unwrap();
    }
    keeper.close().await.unwrap();
    let mut before = BTreeSet::new();
    until(async || {
        // One look: by the next one, the connection of this one may not be gone yet.
        before = sessions(url).await;
        before.len() == CONNECTIONS as usize
    })
    .await;
    (ring, store, before)
}

/// The sessions of this database, except the one that asks. Autovacuum has no session, and comes after a minute.
async fn sessions(url: &str) -> BTreeSet<i32> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let pids = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
         AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    );
    let pids: Vec<i32> = pids.fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    pids.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(deprecated, reason = "the reset is what the test is about")]
async fn r19_clients_that_reset_in_mid_look_up_cost_valid_ones_nothing() {
    let resets: u32 = std::env::var("RESETS").map_or(1_000, |count| count.parse().unwrap());
    // A separate server, so that no other test's sessions are counted or slow it down.
    let pg = PgServer::start("off");
    let url = pg.database().await;
    let (ring, store, before) = warm(&url, Duration::from_secs(30)).await;
    let key = issue(&ring, "read").await.into_secret();
    let server = Server::start(ring).await;

    let attack = async {
        let mut keys = WellFormed::new("acme");
        for _ in 0..resets {
            let client = server.connect().await;
            let mut stream = client.into_stream();
            stream.set_linger(Some(Duration::ZERO)).unwrap();
            let request = good(keys.next().as_str());
            tokio::io::AsyncWriteExt::write_all(&mut stream, &request)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_micros(300)).await;
            drop(stream);
        }
    };
    let visit = async {
        let mut client = server.connect().await;
        for _ in 0..resets / 10 {
            client.send(&good(key.expose())).await;
            client
                .answer()
                .await
                .assert_is(PASSES, "a valid key beside the resets");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(attack, visit);
    let after = sessions(&url).await;
    assert_eq!(after, before, "the pool lost connections");
    drop((server, store));
}

/// Both bounds: the ring's own, and an outer timeout that drops the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r19_a_database_that_is_slow_for_a_moment_costs_no_connection() {
    let pg = PgServer::start("off");
    let url = pg.database().await;
    let (ring, _, before) = warm(&url, Duration::from_secs(1)).await;
    let issued = issue(&ring, "read").await;
    let key = issued.secret().expose().as_bytes();

    let mut keeper = PgConnection::connect(&url).await.unwrap();
    keeper
        .execute("BEGIN; LOCK TABLE tower_api_keys")
        .await
        .unwrap();
    for _ in 0..CONNECTIONS / 2 {
        let mut dropped = Box::pin(ring.verify(key));
        assert!(poll_once(&mut dropped).is_pending());
    }
    let error = ring.verify(key).await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    let source = error.source().unwrap();
    assert_eq!(source.to_string(), "the store is unavailable");
    let why = source.source().unwrap().to_string();
    assert_eq!(why, "the store gave no answer within 1000 ms");
    keeper.execute("COMMIT").await.unwrap();
    keeper.close().await.unwrap();

    ring.verify(key).await.unwrap();
    assert!(
        sessions(&url).await.is_superset(&before),
        "the pool lost connections"
    );
}

/// A handler whose client hangs up: each call of the store is started, and dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r19_a_handler_that_is_dropped_costs_no_connection_and_its_commit_is_finished() {
    let pg = PgServer::start("off");
    let url = pg.database().await;
    let (ring, store, before) = warm(&url, Duration::from_secs(30)).await;
    let id = issue(&ring, "read").await.record().id();
    let ids = [id];

    let mut keeper = PgConnection::connect(&url).await.unwrap();
    keeper
        .execute("BEGIN; LOCK TABLE tower_api_keys")
        .await
        .unwrap();
    let mut dropped: Vec<tower_api_key::store::BoxFuture<'_, ()>> = vec![
        Box::pin(async { drop(ring.issue(Grant::new("bob")).await) }),
        Box::pin(async { drop(ring.get(id).await) }),
        Box::pin(async { drop(ring.watch(id).await) }),
        Box::pin(async { drop(ring.purge().await) }),
        Box::pin(async { drop(ring.revoke(id, RevocationReason::Unspecified).await) }),
        Box::pin(async { drop(store.get_many(ring.realm(), &ids).await) }),
        Box::pin(async { drop(store.last_uses(ring.realm(), &ids).await) }),
    ];
    for call in &mut dropped {
        assert!(poll_once(call).is_pending());
    }
    while waiting(&mut keeper).await < dropped.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(dropped);
    keeper.execute("COMMIT").await.unwrap();
    keeper.close().await.unwrap();

    // The commit of the new key had begun, and the caller of the revocation had only read.
    let bobs = tower_api_key::store::ListQuery::new().subject("bob");
    for attempt in 0.. {
        if !ring.list(&bobs).await.unwrap().is_empty() {
            break;
        }
        assert!(attempt < 2_000, "the commit was not finished");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        sessions(&url).await.is_superset(&before),
        "the pool lost connections"
    );
}

async fn waiting(keeper: &mut PgConnection) -> usize {
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON database = oid
        WHERE datname = current_database() AND NOT granted";
    let count: i64 = sqlx::query_scalar(waiting).fetch_one(keeper).await.unwrap();
    usize::try_from(count).unwrap()
}

/// The cause of a 503 has the details that an operator needs to fix it.
#[tokio::test]
async fn r20_a_wrong_password_is_named_by_the_error_of_a_request() {
    let url = database().await;
    execute(
        &url,
        "CREATE ROLE clerk LOGIN; GRANT SELECT ON tower_api_key_migrations TO clerk",
    )
    .await
    .unwrap();
    let clerk = url.replace("//postgres@", "//clerk@");
    let store = patient().connect(&clerk).await.unwrap();
    let ring = KeyRing::builder("acme").build(store).unwrap();
    let error = ring
        .verify(WellFormed::new("acme").next().as_bytes())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    let source = error.source().unwrap();
    let store = source
        .downcast_ref::<tower_api_key::store::StoreError>()
        .unwrap();
    assert_eq!(store.kind(), StoreErrorKind::ReadOnly);
    assert_eq!(
        source.source().unwrap().to_string(),
        "grant the role what the docs of PostgresStore ask for, or CREATE on the schema to \
         migrate: permission denied for table tower_api_keys"
    );
}
