//! A streaming standby that is promoted, while the old primary is still running.

use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key::store::StoreErrorKind;
use tower_api_key::{InvalidCause, Issued, KeyRing, RevocationReason, VerifyErrorKind};
use tower_api_key_postgres::InTransaction;
use tower_api_key_postgres::PostgresStore;

use super::errors::source;
use super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};
use tower_api_key_test_support::proxy::Proxy;
use tower_api_key_test_support::support::issue;

/// The bound in the documentation, plus the delay of a loaded machine.
const BOUND: Duration = Duration::from_secs(5 + 3);

const REVOKED: VerifyErrorKind = VerifyErrorKind::Invalid(InvalidCause::Revoked);

/// A service whose connections are pinned to a fenced primary, and the promoted server, on which
/// its key is revoked.
struct FailedOver {
    service: KeyRing,
    issued: Issued,
    _standby: PgServer,
    // Open connections to the old primary stay for as long as these do.
    _address: Proxy,
    _primary: PgServer,
}

async fn fail_over() -> FailedOver {
    fail_over_with(async |url| connect(&url).await).await
}

async fn fail_over_with(connected: impl AsyncFn(String) -> PostgresStore) -> FailedOver {
    let primary = PgServer::start_primary();
    let url = primary.database().await;
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    let address = Proxy::to(primary.port());
    let service = ring_over(connected(address.url(&database)).await);
    let issued = issue(&service, "read").await;
    let standby = tokio::task::block_in_place(|| primary.standby());
    let key = issued.secret().expose().to_owned();
    let pinned: Vec<_> = (0..20)
        .map(|_| {
            let (service, key) = (service.clone(), key.clone());
            tokio::spawn(async move { service.verify(key.as_bytes()).await.map(drop) })
        })
        .collect();
    for verified in pinned {
        verified.await.unwrap().unwrap();
    }
    let fence = "ALTER SYSTEM SET default_transaction_read_only = on";
    execute(&url, fence).await.unwrap();
    execute(&url, "SELECT pg_reload_conf()").await.unwrap();
    tokio::task::block_in_place(|| standby.promote());
    let admin = ring_over(connect(&standby.url(&database)).await);
    address.lead_to(standby.port());
    let reason = RevocationReason::KeyCompromise;
    admin.revoke(issued.record().id(), reason).await.unwrap();
    FailedOver {
        service,
        issued,
        _standby: standby,
        _address: address,
        _primary: primary,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_a_primary_that_is_none_any_more_is_heard_no_longer_than_the_bound() {
    let failed_over = fail_over().await;
    let presented = failed_over.issued.secret().expose().as_bytes();
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    let begun = Instant::now();
    while failed_over.service.verify(presented).await.is_ok() {
        assert!(begun.elapsed() < BOUND, "a revoked key passes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..50 {
        let error = failed_over.service.verify(presented).await.unwrap_err();
        assert_eq!(error.kind(), REVOKED);
    }
    issue(&failed_over.service, "read").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_a_write_that_the_old_primary_refuses_ends_its_connections() {
    let failed_over = fail_over().await;
    let service = &failed_over.service;
    let grant = tower_api_key::Grant::new("alice");
    // It reaches the old primary, or the new one if the store has noticed by then.
    let _ = service.issue(grant).await;
    let presented = failed_over.issued.secret().expose().as_bytes();
    let error = service.verify(presented).await.unwrap_err();
    assert_eq!(error.kind(), REVOKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_a_standby_is_refused_unless_the_danger_is_named() {
    let primary = PgServer::start_primary();
    let url = primary.database().await;
    let database = url.rsplit_once('/').unwrap().1;
    let issued = issue(&ring_over(connect(&url).await), "read").await;
    let presented = issued.secret().expose().as_bytes();
    let standby = tokio::task::block_in_place(|| primary.standby());
    let url = standby.url(database);
    let error = patient().connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    assert_eq!(
        source(&error),
        "use the URL of the primary: this server is a standby, which lags \
         (danger_read_from_standby allows it)"
    );
    let options = patient().danger_read_from_standby();
    let ring = ring_over(options.connect(&url).await.unwrap());
    ring.verify(presented).await.unwrap();
}

/// The address leads to a standby: no answer counts, and none is `invalid`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_an_address_that_comes_to_lead_to_a_standby_is_an_outage() {
    let primary = PgServer::start_primary();
    let url = primary.database().await;
    let database = url.rsplit_once('/').unwrap().1;
    let address = Proxy::to(primary.port());
    let ring = ring_over(connect(&address.url(database)).await);
    let issued = issue(&ring, "read").await;
    let presented = issued.secret().expose().as_bytes();
    let standby = tokio::task::block_in_place(|| primary.standby());
    address.lead_to(standby.port());
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    let begun = Instant::now();
    loop {
        match ring.verify(presented).await {
            Ok(_) => assert!(begun.elapsed() < BOUND, "a standby is not noticed"),
            Err(error) => {
                assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The sessions of a service, except the one that checks which server answers.
async fn sessions(url: &str) -> Vec<i32> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'service'";
    sqlx::query_scalar(sessions)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// The standby that a service reads from becomes the primary, without a restart: another history.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_a_promotion_without_a_restart_closes_every_connection() {
    let primary = PgServer::start_primary();
    let url = primary.database().await;
    let database = url.rsplit_once('/').unwrap().1;
    let issued = issue(&ring_over(connect(&url).await), "read").await;
    let presented = issued.secret().expose().as_bytes();
    let standby = tokio::task::block_in_place(|| primary.standby());
    let url = standby.url(database);
    let options = patient().danger_read_from_standby();
    let named = format!("{url}?application_name=service");
    let ring = ring_over(options.connect(&named).await.unwrap());
    ring.verify(presented).await.unwrap();
    let before = sessions(&url).await;
    assert!(!before.is_empty());
    tokio::task::block_in_place(|| standby.promote());
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    let begun = Instant::now();
    loop {
        ring.verify(presented).await.unwrap();
        let now = sessions(&url).await;
        if !before.iter().any(|pid| now.contains(pid)) {
            break;
        }
        assert!(begun.elapsed() < BOUND, "{before:?} live on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    issue(&ring, "read").await;
}

/// The application's own pool trusts the old primary no longer than the store's own pool does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_a_borrowed_pool_hears_the_old_primary_no_longer_than_the_bound() {
    let failed_over = fail_over_with(async |url| {
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        patient().with_pool(pool).await.unwrap()
    })
    .await;
    let presented = failed_over.issued.secret().expose().as_bytes();
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    let begun = Instant::now();
    while failed_over.service.verify(presented).await.is_ok() {
        assert!(begun.elapsed() < BOUND, "a revoked key passes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..50 {
        let error = failed_over.service.verify(presented).await.unwrap_err();
        assert_eq!(error.kind(), REVOKED);
    }
    issue(&failed_over.service, "read").await;
}

/// A transaction that began before the failover: its commit would be lost, or worse.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_a_transaction_on_a_server_that_counts_no_more_is_refused() {
    let primary = PgServer::start_primary();
    let url = primary.database().await;
    let database = url.rsplit_once('/').unwrap().1;
    let address = Proxy::to(primary.port());
    let pool = sqlx::PgPool::connect(&address.url(database)).await.unwrap();
    let ring = ring_over(patient().with_pool(pool.clone()).await.unwrap());
    let standby = tokio::task::block_in_place(|| primary.standby());
    let mut transaction = pool.begin().await.unwrap();
    let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
    let grant = || tower_api_key::Grant::new("alice");
    keys.issue(grant()).await.unwrap();
    tokio::task::block_in_place(|| standby.promote());
    address.lead_to(standby.port());
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    let begun = Instant::now();
    let error = loop {
        match keys.issue(grant()).await {
            Ok(_) => assert!(begun.elapsed() < BOUND, "the old primary counts"),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let elsewhere = "roll the transaction back, and begin it on a connection to the store's own \
                     database: this one is another, or on a server that does not count";
    assert_eq!(source(&error), elsewhere);
}
