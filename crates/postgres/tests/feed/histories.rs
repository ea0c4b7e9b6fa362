//! What begins another history.

use std::process::{Command, Stdio};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tower_api_key::RevocationReason;
use tower_api_key::replica::{Changes, Feed, Realms};
use tower_api_key_postgres::PostgresStore;

use super::super::{connect, ring_over};
use super::copy::Copy;
use tower_api_key_test_support::pg_server::{
    PgServer, binaries, database, empty_database, execute, soon, until,
};
use tower_api_key_test_support::support::issue;

async fn one(connection: &mut PgConnection, sql: &str) -> String {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Waits until a server accepts connections.
async fn answering(url: &str) -> PgConnection {
    let connecting = async {
        loop {
            if let Ok(connection) = PgConnection::connect(url).await {
                return connection;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(connecting).await
}

/// The number of a transaction says nothing about another history: the new primary gives it out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_failover_that_gives_a_number_out_twice_is_another_history() {
    let primary = PgServer::start_primary();
    let url = primary.database().await;
    let name = url.rsplit_once('/').unwrap().1;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let lost = issue(&ring, "read").await;
    let second = issue(&ring, "read").await;
    let standby = primary.standby();
    let there = standby.url(name);
    let mut after = answering(&there).await;
    let mut before = PgConnection::connect(&url).await.unwrap();

    // The standby has everything so far, and is cut off.
    let at = one(&mut before, "SELECT pg_current_wal_lsn()::text").await;
    let has = format!("SELECT (pg_last_wal_replay_lsn() >= '{at}')::text");
    until(async || one(&mut after, &has).await == "true").await;
    for cut in [
        "ALTER SYSTEM SET primary_conninfo = ''",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::raw_sql(cut).execute(&mut after).await.unwrap();
    }
    let receivers = "SELECT count(*)::text FROM pg_stat_wal_receiver";
    until(async || one(&mut after, receivers).await == "0").await;

    let number = "SELECT max(xid)::text FROM (SELECT xid::text::bigint AS xid FROM tower_api_key_changes) AS changes";
    let mut copy = Copy::of(&store).await;
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(lost.record().id(), reason).await.unwrap();
    assert_eq!(copy.pull().await, 1);
    let given = one(&mut before, number).await;
    drop((before, after));
    primary.stop();
    standby.promote();

    let promoted = connect(&there).await;
    let mut after = answering(&there).await;
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    let reaching = async {
        while one(&mut after, next).await.parse::<u64>().unwrap() < given.parse().unwrap() {
            one(&mut after, "SELECT pg_current_xact_id()::text").await;
        }
    };
    soon(reaching).await;
    ring_over(promoted.clone())
        .revoke(second.record().id(), reason)
        .await
        .unwrap();
    assert_eq!(
        one(&mut after, number).await,
        given,
        "the number was given out again"
    );

    // The transaction is no news to who kept the position.
    let snapshot = copy.position.as_str().split_once(' ').unwrap().0;
    let unseen = format!(
        "SELECT count(*)::text FROM tower_api_key_changes WHERE NOT pg_visible_in_snapshot(xid, '{snapshot}')"
    );
    assert_eq!(one(&mut after, &unseen).await, "0");
    copy.feed = promoted.clone();
    assert_eq!(copy.try_pull().await.unwrap(), None);
    let copy = Copy::of(&promoted).await;
    assert!(
        copy.records[second.record().digest().as_bytes()]
            .revocation()
            .is_some()
    );
}

/// Pulls until the server answers again.
async fn pulled(copy: &mut Copy) -> Option<usize> {
    let pulling = async {
        loop {
            if let Ok(pulled) = copy.try_pull().await {
                return pulled;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(pulling).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_crash_is_another_history() {
    let server = PgServer::start("off");
    let url = server.database().await;
    let store = connect(&url).await;
    let mut copy = Copy::of(&store).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let started = "SELECT pg_postmaster_start_time()::text";
    let (before, backend) = (
        one(&mut connection, started).await,
        one(&mut connection, "SELECT pg_backend_pid()::text").await,
    );
    let killed = Command::new("kill")
        .args(["-9", &backend])
        .status()
        .unwrap();
    assert!(killed.success());
    // All sessions end, and the server goes on by itself.
    until(async || {
        let asked = sqlx::raw_sql("SELECT 1").execute(&mut connection).await;
        asked.is_err()
    })
    .await;
    // The session of the copy may answer once more before it ends.
    until(async || matches!(copy.try_pull().await, Ok(None))).await;
    assert_eq!(one(&mut answering(&url).await, started).await, before);

    let mut copy = Copy::of(&store).await;
    issue(&ring_over(store.clone()), "read").await;
    assert_eq!(copy.pull().await, 1);
    server.stop();
    server.start_again();
    assert_eq!(pulled(&mut copy).await, None);
    assert_eq!(Copy::of(&store).await.records.len(), 1);
}

/// Only the session ends.
#[tokio::test]
async fn a_session_that_ends_ends_no_history() {
    let url = database().await;
    let store = connect(&url).await;
    let mut copy = Copy::of(&store).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    execute(&url, end).await.unwrap();
    let mut pulls = vec![copy.try_pull().await];
    pulls.push(copy.try_pull().await);
    assert!(
        pulls.iter().any(|pull| matches!(pull, Ok(Some(0)))),
        "{pulls:?}"
    );
    assert_eq!(copy.pull().await, 0);
}

async fn is_elsewhere(copy: &Copy, there: &PostgresStore) {
    let asked = there
        .changes(&Realms::all(), &copy.position, None, None)
        .await;
    assert!(matches!(asked.unwrap(), Changes::Lost));
    assert_eq!(Copy::of(there).await.records, copy.records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_restored_dump_is_another_home() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let issued = issue(&ring, "read").await;
    let copy = Copy::of(&store).await;
    let bin = binaries().unwrap();
    let mut dump = Command::new(bin.join("pg_dump"))
        .arg(&url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let there = empty_database().await;
    let restored = Command::new("psql")
        .args(["-q", "-v", "ON_ERROR_STOP=1", &there])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status();
    assert!(restored.unwrap().success() && dump.wait().unwrap().success());
    let restored = connect(&there).await;
    is_elsewhere(&copy, &restored).await;
    // Copies of the database that was there before may count on any staleness.
    let head = restored.head().await.unwrap();
    assert_eq!(head.longest_staleness, std::time::Duration::from_mins(10));
    // The numbers of transactions that ran elsewhere are gone.
    let mut connection = PgConnection::connect(&there).await.unwrap();
    let changes = "SELECT count(*)::text FROM tower_api_key_changes";
    assert_eq!(one(&mut connection, changes).await, "0");
    connection.close().await.unwrap();

    let mut second = Copy::of(&restored).await;
    let reason = RevocationReason::KeyCompromise;
    let elsewhere = ring_over(restored.clone());
    elsewhere
        .revoke(issued.record().id(), reason)
        .await
        .unwrap();
    assert_eq!(second.pull().await, 1);

    // A copy of the files has the same token.
    let name = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
    let server = url.replace(&name(&url), "postgres");
    let make = format!(
        "CREATE DATABASE clone_of_{} TEMPLATE {}",
        name(&url),
        name(&url)
    );
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        name(&url)
    );
    // A session that was ended may take a moment.
    until(async || {
        execute(&server, &end).await.unwrap();
        execute(&server, &make).await.is_ok()
    })
    .await;
    let clone = url.replace(&name(&url), &format!("clone_of_{}", name(&url)));
    is_elsewhere(&copy, &connect(&clone).await).await;
}
