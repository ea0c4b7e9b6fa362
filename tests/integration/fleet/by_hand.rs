//! What is done to the tables by hand, as a client of a node sees it.

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key::Issued;

use super::{Home, text};

/// Two keys on a node that is fresh.
async fn two(home: &Home, node: &super::Node) -> (Issued, Issued) {
    let (one, other) = (home.issue().await, home.issue().await);
    node.client.until_fresh(text(&one)).await;
    node.client.until_fresh(text(&other)).await;
    (one, other)
}

fn revoke(issued: &Issued) -> String {
    format!(
        "UPDATE tower_api_keys SET revoked_at = 5, revocation_reason = 'superseded', version = version + 1
        WHERE id = '{}'",
        issued.id()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_delete_by_hand_is_a_revocation() {
    let home = Home::new().await;
    let node = home.node();
    let (one, other) = two(&home, &node).await;
    let delete = format!("DELETE FROM tower_api_keys WHERE id = '{}'", one.id());
    home.execute(&delete).await;
    node.client.until(401, text(&one)).await;
    node.client.until_fresh(text(&other)).await;
    home.execute(&revoke(&other)).await;
    node.client.until(401, text(&other)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_truncate_resets() {
    let home = Home::new().await;
    let node = home.node();
    let (one, other) = two(&home, &node).await;
    home.execute("TRUNCATE tower_api_keys").await;
    node.hears("replica_reset");
    node.client.until(401, text(&one)).await;
    node.client.until(401, text(&other)).await;
    let next = home.issue().await;
    node.client.until_fresh(text(&next)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_an_open_transaction_holds_nothing_back() {
    let home = Home::new().await;
    let node = home.node();
    let (one, other) = two(&home, &node).await;
    let mut connection = PgConnection::connect(&home.url).await.unwrap();
    let mut open = connection.begin().await.unwrap();
    let early = sqlx::AssertSqlSafe(revoke(&one));
    sqlx::raw_sql(early).execute(&mut *open).await.unwrap();
    home.revoke(&other).await;
    node.client.until(401, text(&other)).await;
    node.client.until_fresh(text(&one)).await;
    // Its changes have the number of a transaction that began long before others that are over.
    open.commit().await.unwrap();
    node.client.until(401, text(&one)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_two_phase_commit_is_seen_when_committed() {
    let home = Home::new().await;
    let node = home.node();
    let (one, other) = two(&home, &node).await;
    // The name is one of the whole server.
    let name = home.name();
    let prepare = format!("BEGIN; {}; PREPARE TRANSACTION '{name}'", revoke(&one));
    home.execute(&prepare).await;
    home.revoke(&other).await;
    node.client.until(401, text(&other)).await;
    node.client.until_fresh(text(&one)).await;
    home.execute(&format!("COMMIT PREPARED '{name}'")).await;
    node.client.until(401, text(&one)).await;
}
