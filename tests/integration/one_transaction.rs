//! An axum service with its own pool: a customer and the first key are one transaction.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use sqlx::PgPool;
use tower::ServiceExt;
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, KeyRingBuilder, VerifiedKey};
use tower_api_key_postgres::{InTransaction, PostgresStore, sqlx};

#[cfg(feature = "serde")]
use crate::pg_server::empty_database;
use crate::pg_server::{database, execute, patient};

/// A ring whose look-ups may be slow on a loaded machine.
fn builder() -> KeyRingBuilder {
    KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(Duration::from_mins(1))
}

fn ring_over(store: PostgresStore) -> KeyRing {
    builder().build(store).unwrap()
}

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
    let mut keys = InTransaction::join(&app.ring, &mut transaction).await?;
    let issued = keys.issue(Grant::new(name).scopes(["orders:read"])).await?;
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
    let ring = builder()
        .max_keys_per_subject(1)
        .build(store.clone())
        .unwrap();
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

    // If the row is refused, there is no second key. If the key is refused, there is no row.
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

/// The commands that the example prints, as a reader types them.
#[cfg(feature = "serde")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_signs_up_changes_a_plan_lists_and_revokes() {
    use crate::process::{Running, run};

    let (running, url) = Running::serve_database("customers", &empty_database().await);
    let [sign_up, orders, plan, list, end] =
        <[String; 5]>::try_from(running.commands("curl", 5)).expect("five commands");
    let shell = |command: &str, key: &str, id: &str| {
        let command = format!("KEY={key}; ID={id}; {command} -w '%{{http_code}}'");
        let output = run("sh", ["-c", &*command]);
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.split_at(text.len() - 3);
        (status.to_owned(), body.to_owned())
    };

    let (status, key) = shell(&sign_up, "", "");
    assert_eq!(status, "201");
    let taken = shell(&sign_up, "", "");
    assert_eq!(taken, ("409".to_owned(), "this name is taken\n".to_owned()));
    let read = shell(&orders, &key, "");
    assert_eq!(
        read,
        ("200".to_owned(), "alice may orders:read\n".to_owned())
    );
    let (status, gold) = shell(&plan, &key, "");
    assert_eq!(status, "200");
    assert_eq!(
        shell(&orders, &key, "").0,
        "401",
        "the key of the plan before"
    );
    let both = "alice may orders:read orders:write\n".to_owned();
    assert_eq!(shell(&orders, &gold, ""), ("200".to_owned(), both));

    let (status, listed) = shell(&list, "", "");
    assert_eq!(status, "200");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let of = |subject: &str| -> Vec<&str> {
        let views = listed.as_array().unwrap().iter();
        let views = views.filter(|view| view["subject"] == subject);
        views.map(|view| view["state"].as_str().unwrap()).collect()
    };
    let mut of_alice = of("alice");
    of_alice.sort_unstable();
    assert_eq!(
        (of_alice, of("operator")),
        (vec!["live", "revoked"], vec!["live"])
    );
    assert!(!listed.to_string().contains("digest"));

    let id = gold.rsplit('_').nth(1).unwrap();
    assert_eq!(shell(&end, "", id), ("204".to_owned(), String::new()));
    assert_eq!(shell(&orders, &gold, "").0, "401");
    let (status, problem) = shell(&end, "", "0000000000AA");
    assert_eq!(status, "404");
    let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["detail"], "no such key in this realm");
    assert!(url.starts_with("http://127.0.0.1:"));
    running.interrupt();
}
