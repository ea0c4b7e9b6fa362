//! A store on the application's pool, and one that starts before its database.

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tower_api_key::store::StoreErrorKind;
use tower_api_key::{EventKind, Issued, KeyRing, VerifyErrorKind};
use tower_api_key_contract::contract;
use tower_api_key_postgres::PostgresStore;
use tower_api_key_postgres::sqlx;

use super::errors::source;
use super::{MIGRATIONS, builder, ring_over};
use tower_api_key_test_support::pg_server::{PgServer, database, empty_database, execute, patient};
use tower_api_key_test_support::support::issue;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_on_a_borrowed_pool_keeps_the_contract() {
    contract(async || {
        let pool = PgPool::connect(&empty_database().await).await.unwrap();
        assert_eq!(patient().migrate_pool(&pool).await.unwrap(), MIGRATIONS);
        assert_eq!(patient().migrate_pool(&pool).await.unwrap(), 0);
        patient().with_pool(pool).await.unwrap()
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_shared_with_the_application() {
    let url = database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await;
    let pool = pool.unwrap();
    let ring = ring_over(PostgresStore::from_pool(pool.clone()).await.unwrap());
    let issued = issue(&ring, "read").await;
    let taken = pool.acquire().await.unwrap();
    // Not the pool's thirty seconds.
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    let begun = Instant::now();
    let error = ring.get(issued.record().id()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(
        source(&error),
        "check that the server runs, or give the store more connections: pool timed out while \
         waiting for an open connection"
    );
    drop(taken);
    let key = ring.verify(issued.secret().expose().as_bytes()).await;
    key.unwrap();
    pool.close().await;
    let error = ring.verify(issued.secret().expose().as_bytes()).await;
    assert_eq!(error.unwrap_err().kind(), VerifyErrorKind::StoreUnavailable);
}

/// Without its cache the server loses memory with each look-up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r23_a_pool_without_a_statement_cache_is_refused() {
    let url = database().await;
    let options: PgConnectOptions = url.parse().unwrap();
    let pool = PgPool::connect_lazy_with(options.statement_cache_capacity(0));
    let ring = ring_over(patient().with_pool(pool).await.unwrap());
    let id = "000000000000".parse().unwrap();
    let error = ring.get(id).await.unwrap_err();
    assert_eq!(
        source(&error),
        "set the capacity of the pool's statement cache above 0: without a cache, each look-up \
         takes memory of the server"
    );
}

/// The cause of a 503: the text of the last source.
async fn unavailable(ring: &KeyRing, issued: &Issued) -> String {
    let error = ring.verify(issued.secret().expose().as_bytes()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    assert!(error.source().is_some());
    source(&error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_a_store_starts_before_its_database() {
    let server = tokio::task::block_in_place(|| PgServer::start("on"));
    let empty = server.empty_database().await;
    let url = server.database().await;
    let issued = issue(&ring_over(super::connect(&url).await), "read").await;
    let presented = issued.secret().expose().as_bytes();
    tokio::task::block_in_place(|| server.stop());

    let error = patient().connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let pool = PgPool::connect_lazy(&url).unwrap();
    let ready = [
        patient().lazy().connect(&url).await.unwrap(),
        patient().lazy().with_pool(pool).await.unwrap(),
    ];
    let ready = ready.map(ring_over);
    let missing = ring_over(patient().lazy().connect(&empty).await.unwrap());
    let down = "check that the server runs, and the host and the port of the URL: ";
    for ring in ready.iter().chain([&missing]) {
        let said = unavailable(ring, &issued).await;
        assert!(said.starts_with(down), "{said}");
        // Writes report the same.
        let error = ring.issue(tower_api_key::Grant::new("bob")).await;
        assert!(source(&error.unwrap_err()).starts_with(down));
    }

    tokio::task::block_in_place(|| server.start_again());
    for ring in &ready {
        ring.verify(presented).await.unwrap();
        issue(ring, "read").await;
    }
    // Its server is up, but its schema is missing.
    let said = unavailable(&missing, &issued).await;
    assert_eq!(
        said,
        "run `tower-api-key migrate`, or apply the migrations of tower-api-key-postgres: the tables are \
         missing"
    );
    patient().migrate(&empty).await.unwrap();
    issue(&missing, "read").await;
    let unknown = missing.verify(presented).await.unwrap_err();
    assert!(matches!(unknown.kind(), VerifyErrorKind::Invalid(_)));
}

/// The event of a request has the reason why the database does not answer yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_request_before_the_database_is_a_503_with_its_cause() {
    use tower::{ServiceBuilder, ServiceExt};

    let causes = Arc::new(Mutex::new(Vec::new()));
    let store = patient().lazy().connect("postgres://a@127.0.0.1:1/a").await;
    let ring = {
        let causes = Arc::clone(&causes);
        builder()
            .observer(tower_api_key::observer_fn(move |event| {
                if let EventKind::Rejected { .. } = event.kind() {
                    causes
                        .lock()
                        .unwrap()
                        .push(event.failure().map(|it| source(it)));
                }
            }))
            .build(store.unwrap())
            .unwrap()
    };
    let service = ServiceBuilder::new()
        .layer(tower_api_key::ApiKeyLayer::new(ring))
        .service_fn(
            async |_: http::Request<()>| -> Result<_, std::convert::Infallible> {
                Ok(http::Response::new(
                    http_body_util::Full::<bytes::Bytes>::default(),
                ))
            },
        );
    let key = tower_api_key_test_support::support::key(
        &tower_api_key_test_support::support::ring(),
        "read",
    )
    .await;
    let request = http::Request::builder().header("x-api-key", key);
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 503);
    let causes = causes.lock().unwrap();
    let [Some(cause)] = &causes[..] else {
        panic!("{causes:?}");
    };
    assert!(cause.starts_with("check that the server runs"), "{cause}");
}

/// A mistake that no server could fix is reported at once.
#[tokio::test]
async fn a_lazy_store_refuses_a_url_that_cannot_be_read() {
    let error = patient().lazy().connect("postgres://a@b:c/d").await;
    assert_eq!(
        source(&error.unwrap_err()),
        "write the URL as postgres://role:password@host:port/database: the port is not a number \
         up to 65535"
    );
}

/// A change of the session by the application's hooks is not ignored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_pool_whose_role_does_not_see_every_row_is_an_outage() {
    let url = database().await;
    let role = format!("hooked_{}", url.rsplit_once('/').unwrap().1);
    let policy = format!(
        "CREATE ROLE {role}; GRANT SELECT ON tower_api_keys TO {role};
        ALTER TABLE tower_api_keys ENABLE ROW LEVEL SECURITY"
    );
    execute(&url, &policy).await.unwrap();
    let issued = issue(&ring_over(super::connect(&url).await), "read").await;
    let set = Arc::new(format!("SET ROLE {role}"));
    let pool = PgPoolOptions::new().after_connect(move |connection, _| {
        let set = sqlx::AssertSqlSafe(set.to_string());
        Box::pin(async move { sqlx::raw_sql(set).execute(connection).await.map(drop) })
    });
    let pool = pool.connect(&url).await.unwrap();
    let ring = ring_over(patient().with_pool(pool.clone()).await.unwrap());
    let said = unavailable(&ring, &issued).await;
    assert!(said.starts_with("give the role BYPASSRLS"), "{said}");
    pool.close().await;
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    execute(&url, &drop).await.unwrap();
}
