//! A service of axum with a pool of its own: a customer and the first key are one transaction.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use sqlx::PgPool;
use tower::ServiceExt;
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, VerifiedKey, sqlx};

use super::{builder, ring_over};
use crate::pg_server::{database, execute, patient};

#[derive(Clone)]
struct Application {
    pool: PgPool,
    ring: KeyRing,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn customer_and_key(app: &Application, name: &str) -> Result<String, Failure> {
    let mut transaction = app.pool.begin().await?;
    sqlx::query("INSERT INTO customers (name) VALUES ($1)")
        .bind(name)
        .execute(&mut *transaction)
        .await?;
    let mut keys = app.ring.within(&mut transaction).await?;
    let issued = keys
        .issue(Grant::new(name).scopes(["orders:read"])?)
        .await?;
    let unannounced = keys.finish();
    transaction.commit().await?;
    unannounced.announce();
    Ok(issued.secret().expose().to_owned())
}

async fn create(State(app): State<Application>, Path(name): Path<String>) -> (StatusCode, String) {
    match customer_and_key(&app, &name).await {
        Ok(key) => (StatusCode::CREATED, key),
        Err(_) => (StatusCode::CONFLICT, String::new()),
    }
}

async fn orders(key: VerifiedKey) -> String {
    format!("orders of {}", key.subject())
}

async fn ask(app: &Router, method: &str, path: &str, key: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-api-key", key)
        .body(axum::body::Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_and_the_first_key_come_together_or_not_at_all() {
    let url = database().await;
    let table = "CREATE TABLE customers (name text PRIMARY KEY)";
    execute(&url, table).await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let store = patient().with_pool(pool.clone()).await.unwrap();
    let ring = builder().keys_per_subject(1).build(store.clone()).unwrap();
    let app = Application {
        pool: pool.clone(),
        ring: ring.clone(),
    };
    let app = Router::new()
        .route("/orders", get(orders))
        .layer(ApiKeyLayer::new(ring_over(store)).require("orders:read"))
        .route("/customers/{name}", post(create))
        .with_state(app);

    let (status, key) = ask(&app, "POST", "/customers/alice", "").await;
    assert_eq!(status, StatusCode::CREATED);
    let orders = ask(&app, "GET", "/orders", &key).await;
    assert_eq!(orders, (StatusCode::OK, "orders of alice".to_owned()));

    // The row is refused: no second key. The key is refused: no row.
    let (status, _) = ask(&app, "POST", "/customers/alice", "").await;
    assert_eq!(status, StatusCode::CONFLICT);
    ring.issue(Grant::new("bob")).await.unwrap();
    let (status, _) = ask(&app, "POST", "/customers/bob", "").await;
    assert_eq!(status, StatusCode::CONFLICT);
    let count = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool);
    let customers = count("SELECT count(*) FROM customers").await.unwrap();
    let keys = count("SELECT count(*) FROM tower_api_keys").await.unwrap();
    assert_eq!((customers, keys), (1, 2));
}
