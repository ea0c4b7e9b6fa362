//! A node behind a real PgBouncer.

use tokio::task::block_in_place;

use super::client::Load;
use super::{Home, Node, STALENESS, assert_bound, text};
use crate::pg_server::PgServer;
use crate::pooler::{PgBouncer, version};
use crate::support::not_run;

async fn pulls_through(settings: &str) {
    let server = block_in_place(|| PgServer::start("off"));
    let pooler = PgBouncer::start(&server, settings).await;
    let home = Home::at(&server.database().await).await;
    let node = Node::start(&pooler.url(&home.url), STALENESS);
    for _ in 0..3 {
        let issued = home.issue().await;
        node.client.until_fresh(text(&issued)).await;
        let load = Load::on(&node.client, text(&issued));
        let revoked = home.revoke(&issued).await;
        node.client.until(401, text(&issued)).await;
        assert_bound(&load.end().await, revoked, STALENESS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_through_a_pooler_of_sessions_a_node_pulls() {
    if version("a node behind a pooler of sessions").is_some() {
        pulls_through("pool_mode = session").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_through_a_pooler_of_transactions_a_node_pulls() {
    let test = "a node behind a pooler of transactions";
    match version(test) {
        Some(version) if version >= (1, 21) => {
            pulls_through("pool_mode = transaction\nmax_prepared_statements = 100").await;
        }
        Some((major, minor)) => not_run(format_args!(
            "{test}: PgBouncer {major}.{minor} does not know prepared statements"
        )),
        None => {}
    }
}
