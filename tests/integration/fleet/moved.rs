//! A node whose address comes to lead to another server: a standby, a promoted one, a restored dump.

use std::process::Command;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::task::block_in_place;
use tower_api_key::Issued;

use super::client::Load;
use super::{Home, Node, STALENESS, assert_bound, text};
use crate::pg_server::{PgServer, binaries, execute};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_standby_gives_no_lease() {
    let primary = block_in_place(PgServer::start_primary);
    let home = Home::at(&primary.database().await).await;
    let proxy = Proxy::to(primary.port());
    let node = Node::start(&proxy.url(home.name()), STALENESS);
    let issued = home.issue().await;
    node.client.until_fresh(text(&issued)).await;
    let standby = block_in_place(|| primary.standby());
    let load = Load::on(&node.client, text(&issued));
    proxy.lead_to(standby.port());
    proxy.reset();
    let revoked = home.revoke(&issued).await;
    node.hears("replica_stale");
    node.client.until(503, text(&issued)).await;
    proxy.lead_to(primary.port());
    node.client.until(401, text(&issued)).await;
    assert_bound(&load.end().await, revoked, STALENESS);
}

/// The number of a transaction that revokes a key by hand.
async fn revoke_by_hand(url: &str, issued: &Issued) -> u64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let revoke = format!(
        "UPDATE tower_api_keys SET revoked_at = 5, revocation_reason = 'superseded', version = version + 1
        WHERE id = '{}' RETURNING pg_current_xact_id()::text",
        issued.id()
    );
    let revoked = sqlx::query_scalar(sqlx::AssertSqlSafe(revoke));
    let number: String = revoked.fetch_one(&mut connection).await.unwrap();
    number.parse().unwrap()
}

/// An acknowledged revocation is lost, because the standby had not heard of it. Another one then gets the
/// number of its transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_promoted_standby_resets_and_reuses_xids() {
    let primary = block_in_place(PgServer::start_primary);
    let home = Home::at(&primary.database().await).await;
    let proxy = Proxy::to(primary.port());
    let node = Node::start(&proxy.url(home.name()), STALENESS);
    let (lost, other, kept) = (home.issue().await, home.issue().await, home.issue().await);
    let keys = [&lost, &other, &kept];
    let standby = block_in_place(|| primary.standby());
    block_in_place(|| standby.stop());
    for issued in keys {
        node.client.until_fresh(text(issued)).await;
    }
    let number = revoke_by_hand(&home.url, &lost).await;
    node.client.until(401, text(&lost)).await;
    let load = Load::on(&node.client, text(&lost));

    block_in_place(|| primary.stop());
    block_in_place(|| standby.start_again());
    block_in_place(|| standby.promote());
    let promoted = standby.url(home.name());
    let alive = "SELECT FROM tower_api_keys WHERE revoked_at IS NULL";
    assert_eq!(execute(&promoted, alive).await.unwrap(), 3);
    let next = "SELECT FROM pg_snapshot_xmax(pg_current_snapshot()) AS next WHERE next < ";
    while execute(&promoted, &format!("{next} '{number}'"))
        .await
        .unwrap()
        == 1
    {
        let spend = "SELECT pg_current_xact_id()";
        execute(&promoted, spend).await.unwrap();
    }
    assert_eq!(revoke_by_hand(&promoted, &other).await, number);
    proxy.lead_to(standby.port());
    node.hears("replica_reset");
    node.hears("replica_diverged");
    node.client.until(401, text(&other)).await;
    // The database has it alive again, and the node does not.
    node.client.until_fresh(text(&kept)).await;
    let answer = node.client.get(text(&lost)).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let answers = load.end().await;
    assert!(
        answers.iter().all(|answer| answer.status != 200),
        "{answers:?}"
    );
}

/// A program of Postgres, on a database of this server.
fn on(server: &PgServer, program: &str, database: &str) -> Command {
    let mut command = Command::new(binaries().unwrap().join(program));
    let port = server.port().to_string();
    command.args([
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-p",
        &port,
        "-d",
        database,
    ]);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_restored_dump_is_another_home() {
    let [old, new] = block_in_place(|| [PgServer::start("off"), PgServer::start("off")]);
    let home = Home::at(&old.database().await).await;
    let name = home.name();
    let proxy = Proxy::to(old.port());
    let node = Node::start(&proxy.url(name), STALENESS);
    let (dead, kept) = (home.issue().await, home.issue().await);
    node.client.until_fresh(text(&dead)).await;
    node.client.until_fresh(text(&kept)).await;
    let dump = on(&old, "pg_dump", name).output().unwrap();
    assert!(dump.status.success(), "{dump:?}");
    home.revoke(&dead).await;
    node.client.until(401, text(&dead)).await;

    let restored = new.empty_database().await;
    assert!(restored.ends_with(name), "{restored}");
    let file = crate::folder::Folder::new();
    std::fs::write(file.keys(), dump.stdout).unwrap();
    let mut restore = on(&new, "psql", name);
    restore
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(file.keys());
    let restore = restore.output().unwrap();
    assert!(restore.status.success(), "{restore:?}");
    proxy.lead_to(new.port());
    proxy.reset();
    node.hears("replica_reset");
    node.hears("replica_diverged");
    node.client.until_fresh(text(&kept)).await;
    let answer = node.client.get(text(&dead)).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let home = Home::at(&restored).await;
    home.revoke(&kept).await;
    node.client.until(401, text(&kept)).await;
}
