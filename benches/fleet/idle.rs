//! What nodes cost the server that have nothing to do: their pulls, the connections that they open anew, and the
//! notifications by which they test their hearing.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key_test_support::pg_server::PgServer;

use crate::nodes::{Nodes, fill};

const INTERVAL: Duration = Duration::from_millis(50);

pub(crate) async fn run(once: bool) {
    let (count, keys, time) = if once {
        (3, 100, Duration::from_secs(1))
    } else {
        // Three times as long as a connection lives.
        (100, 10_000, Duration::from_secs(90))
    };
    let server = PgServer::start_with_options("-c max_connections=500 -c shared_buffers=128MB");
    let url = server.database().await;
    fill(&url, 1, keys).await;
    let nodes = Nodes::start(&url, count, INTERVAL).await;
    // Until the first statements of the connections are planned.
    tokio::time::sleep(time / 10).await;
    let (before, processor) = (transactions(&url).await, nodes.server.time());
    tokio::time::sleep(time).await;
    let processor = nodes.server.time().saturating_sub(processor);
    let transactions = transactions(&url).await - before;
    let fresh = nodes.replicas.iter().filter(|it| it.is_fresh()).count();
    let (seconds, used) = (time.as_secs_f64(), processor.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let each = used / transactions as f64;
    println!(
        "\n{count} idle nodes, a pull each {INTERVAL:?}, {keys} keys, for {seconds} s: {transactions} transactions, \
         {:.0} µs of the server's processors for each, {:.2} processors in all, so a processor serves {:.0} nodes; \
         {fresh} are fresh",
        each * 1e6,
        used / seconds,
        seconds / used * f64::from(u32::try_from(count).unwrap())
    );
}

/// How many the server has committed, in all databases.
async fn transactions(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let committed = "SELECT sum(xact_commit)::bigint FROM pg_stat_database";
    let committed = sqlx::query_scalar(committed).fetch_one(&mut connection);
    let committed = committed.await.unwrap();
    connection.close().await.unwrap();
    committed
}
