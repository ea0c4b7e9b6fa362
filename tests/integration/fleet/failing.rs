//! A server that ends connections, crashes, or is stopped.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::task::block_in_place;
use tokio::time::sleep;
use tower_api_key::{Issued, RevocationReason};

use super::client::{Load, PATIENCE, now};
use super::{Home, Node, STALENESS, assert_bound, set_staleness, text};
use crate::pg_server::PgServer;
use crate::process::run;

/// The process of the server in which a node pulls.
async fn backend(home: &Home) -> i32 {
    let mut connection = PgConnection::connect(&home.url).await.unwrap();
    let pulls = "SELECT pid FROM pg_stat_activity
        WHERE query SIMILAR TO '/\\* tower-api-key (pull|news) %' AND datname = current_database()";
    let end = now() + PATIENCE;
    loop {
        let pid = sqlx::query_scalar(pulls).fetch_optional(&mut connection);
        if let Some(pid) = pid.await.unwrap() {
            return pid;
        }
        assert!(now() < end, "no node pulls");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Revokes a key as soon as the server is there again.
async fn revoke_when_up(home: &Home, issued: &Issued) -> Duration {
    let reason = RevocationReason::KeyCompromise;
    let end = now() + PATIENCE;
    while let Err(error) = home.ring.revoke(issued.id(), reason).await {
        assert!(now() < end, "{error:?}");
        sleep(Duration::from_millis(20)).await;
    }
    now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_node_whose_backend_is_terminated_opens_another() {
    let home = Home::new().await;
    let node = home.node();
    for _ in 0..3 {
        let issued = home.issue().await;
        node.client.until_fresh(text(&issued)).await;
        let load = Load::on(&node.client, text(&issued));
        let terminate = format!("SELECT pg_terminate_backend({})", backend(&home).await);
        home.execute(&terminate).await;
        let revoked = home.revoke(&issued).await;
        node.client.until(401, text(&issued)).await;
        assert_bound(&load.end().await, revoked, STALENESS);
    }
}

/// The server kills all its processes and recovers, without a restart: numbers of transactions may be given
/// out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_killed_backend_resets() {
    let server = block_in_place(|| PgServer::start("off"));
    let home = Home::at(&server.database().await).await;
    let node = home.node();
    let (before, after) = (home.issue().await, home.issue().await);
    node.client.until_fresh(text(&after)).await;
    let loads = [&before, &after].map(|issued| Load::on(&node.client, text(issued)));
    let revoked = home.revoke(&before).await;
    let pid = backend(&home).await.to_string();
    let kill = run("kill", ["-KILL", pid.as_str()]);
    assert!(kill.status.success(), "{kill:?}");
    node.hears("replica_reset");
    let revoked = [revoked, revoke_when_up(&home, &after).await];
    node.client.until(401, text(&before)).await;
    node.client.until(401, text(&after)).await;
    for (load, revoked) in loads.into_iter().zip(revoked) {
        assert_bound(&load.end().await, revoked, STALENESS);
    }
    let next = home.issue().await;
    node.client.until_fresh(text(&next)).await;
}

/// For less than the staleness, no request is refused. Each is counted by the service behind the layer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_node_serves_while_postgres_is_stopped() {
    let staleness = Duration::from_mins(5);
    let server = block_in_place(|| PgServer::start("off"));
    let home = Home::at(&server.database().await).await;
    set_staleness(&home.url, staleness).await;
    let node = Node::start(&home.url, staleness);
    let issued = home.issue().await;
    node.client.until(200, text(&issued)).await;
    let mut last = count(&node, &issued).await;
    block_in_place(|| server.stop());
    for _ in 0..300 {
        last += 1;
        assert_eq!(count(&node, &issued).await, last);
    }
    block_in_place(|| server.start_again());
    node.hears("replica_reset");
    for _ in 0..100 {
        last += 1;
        assert_eq!(count(&node, &issued).await, last);
    }
    revoke_when_up(&home, &issued).await;
    node.client.until(401, text(&issued)).await;
}

/// How many requests were accepted, with this one, which is answered from memory.
async fn count(node: &Node, issued: &Issued) -> usize {
    let answer = node.client.get(text(issued)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let count = answer.body.strip_suffix(" fresh").expect("it is fresh");
    count.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_node_refuses_while_postgres_is_stopped_for_longer() {
    let server = block_in_place(|| PgServer::start("off"));
    let home = Home::at(&server.database().await).await;
    let node = home.node();
    let issued = home.issue().await;
    node.client.until_fresh(text(&issued)).await;
    let load = Load::on(&node.client, text(&issued));
    block_in_place(|| server.stop());
    // Whatever the server acknowledges, the node has asked before.
    let stopped = now();
    node.hears("replica_stale");
    node.client.until(503, text(&issued)).await;
    assert_bound(&load.end().await, stopped, STALENESS);
    block_in_place(|| server.start_again());
    node.client.until_fresh(text(&issued)).await;
}
