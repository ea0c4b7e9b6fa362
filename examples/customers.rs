//! An axum service with its own Postgres pool. A customer and the first key are one transaction, and so
//! are a change of plan and the keys that go with it. Operators list and revoke keys.
//!
//! `DATABASE_URL=postgres://… cargo run -p tower-api-key-tests --example customers --features axum,serde` prints a
//! curl line for each case. `PORT` chooses the port.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::error::Error;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tower_api_key::store::ListQuery;
use tower_api_key::{ApiKeyLayer, Grant, KeyId, KeyRing, KeyView, RevocationReason, VerifiedKey};
use tower_api_key_postgres::sqlx::{self, PgPool};
use tower_api_key_postgres::{InTransaction, PostgresOptions};

#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) pool: PgPool,
    pub(crate) ring: KeyRing,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL to a Postgres URL")?;
    let pool = PgPool::connect(&url).await?;
    let table = "CREATE TABLE IF NOT EXISTS customers (name text PRIMARY KEY, plan text NOT NULL)";
    sqlx::raw_sql(table).execute(&pool).await?;

    let options = PostgresOptions::new();
    options.migrate_pool(&pool).await?;
    let store = options.with_pool(pool.clone()).await?;
    let ring = KeyRing::builder("shop").build(store)?;

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let grant = Grant::new("operator").scopes(["keys:manage"]);
    let operator = ring
        .issue(grant.expires_in(Duration::from_hours(1)))
        .await?;
    let operator = operator.secret().expose();
    println!("listening on {url}; Ctrl-C ends it\n");
    println!("a customer and a key  curl -s -X POST {url}/customers/alice");
    println!("what the key is for   curl -s -H \"x-api-key: $KEY\" {url}/orders");
    println!("another plan and key  curl -s -X POST -H \"x-api-key: $KEY\" {url}/plan/gold");
    println!("all keys              curl -s -H 'x-api-key: {operator}' {url}/keys");
    println!("end a key             curl -s -X DELETE -H 'x-api-key: {operator}' {url}/keys/$ID");

    let server = axum::serve(listener, app(Shop { pool, ring }));
    let interrupted = async {
        tokio::signal::ctrl_c().await.ok();
    };
    Ok(server.with_graceful_shutdown(interrupted).await?)
}

pub(crate) fn app(shop: Shop) -> Router {
    let keys = ApiKeyLayer::new(shop.ring.clone());
    let managing = Router::new()
        .route("/keys", get(list))
        .route("/keys/{id}", delete(revoke))
        .layer(keys.clone().require("keys:manage"));
    let buying = Router::new()
        .route("/orders", get(orders))
        .route("/plan/{plan}", post(change_plan))
        .layer(keys.require("orders:read"));
    Router::new()
        .route("/customers/{name}", post(sign_up))
        .merge(managing)
        .merge(buying)
        .with_state(shop)
}

/// The grant of a plan.
fn grant(name: &str, plan: &str) -> Grant {
    let scopes: &[&str] = match plan {
        "gold" => &["orders:read", "orders:write"],
        _ => &["orders:read"],
    };
    Grant::new(name).scopes(scopes)
}

/// There is never a customer without a key, or a key without its customer.
async fn sign_up(
    State(shop): State<Shop>,
    Path(name): Path<String>,
) -> Result<(StatusCode, String), Failure> {
    let mut transaction = shop.pool.begin().await?;
    sqlx::query("INSERT INTO customers (name, plan) VALUES ($1, 'free')")
        .bind(&name)
        .execute(&mut *transaction)
        .await?;
    let mut keys = InTransaction::join(&shop.ring, &mut transaction).await?;
    let issued = keys.issue(grant(&name, "free")).await?;
    let unannounced = keys.finish();
    transaction.commit().await?;
    unannounced.announce();
    Ok((StatusCode::CREATED, issued.secret().expose().to_owned()))
}

/// The key that the customer came with is dead after the commit, and the new one has the scopes of
/// the plan.
async fn change_plan(
    State(shop): State<Shop>,
    key: VerifiedKey,
    Path(plan): Path<String>,
) -> Result<String, Failure> {
    let mut transaction = shop.pool.begin().await?;
    sqlx::query("UPDATE customers SET plan = $2 WHERE name = $1")
        .bind(key.subject().as_str())
        .bind(&plan)
        .execute(&mut *transaction)
        .await?;
    let mut keys = InTransaction::join(&shop.ring, &mut transaction).await?;
    let regranted = keys
        .regrant(key.id(), grant(key.subject().as_str(), &plan))
        .await?;
    let unannounced = keys.finish();
    transaction.commit().await?;
    unannounced.announce();
    Ok(regranted.secret().expose().to_owned())
}

async fn orders(key: VerifiedKey) -> String {
    format!("{} may {}\n", key.subject(), key.scopes())
}

#[derive(serde::Deserialize)]
struct Filters {
    subject: Option<String>,
}

async fn list(
    State(shop): State<Shop>,
    Query(filters): Query<Filters>,
) -> Result<Json<Vec<KeyView>>, Failure> {
    let mut query = ListQuery::new().newest_first().limit(100);
    if let Some(subject) = filters.subject {
        query = query.subject(subject);
    }
    let page = shop.ring.list(&query).await?;
    Ok(Json(shop.ring.views(&page).await?))
}

async fn revoke(State(shop): State<Shop>, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    let id: KeyId = id.parse()?;
    let reason = RevocationReason::PrivilegeWithdrawn;
    shop.ring.revoke(id, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The reason why a request of this service failed.
enum Failure {
    Keys(tower_api_key::Error),
    Database(sqlx::Error),
}

impl From<tower_api_key::Error> for Failure {
    fn from(error: tower_api_key::Error) -> Self {
        Self::Keys(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            // A status for each class, and a problem (RFC 9457) that says what to do.
            Self::Keys(error) => error.into_response(),
            Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                (StatusCode::CONFLICT, "this name is taken\n").into_response()
            }
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}
