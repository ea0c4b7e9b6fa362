//! Servers on one Postgres, each a process, and the effect of a command or of the database's end on
//! them.
//!
//! A server is this program, started again.

use std::env;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tower_api_key::{ApiKeyLayer, KeyRing};
use tower_api_key_postgres::PostgresOptions;

use super::servers::status;
use super::{Shell, ran};
use tower_api_key_test_support::pg_server::{PgServer, database};
use tower_api_key_test_support::process::{Running, run};

const DATABASE: &str = "FLEET_DATABASE";
/// The longest that the server waits for the store, in seconds.
const BOUND: &str = "FLEET_BOUND";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of its own, which other tests start"]
async fn server() {
    let (Ok(url), Ok(bound)) = (env::var(DATABASE), env::var(BOUND)) else {
        return;
    };
    let bound = Duration::from_secs(bound.parse().unwrap());
    let options = PostgresOptions::new().acquire_timeout(bound / 2);
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(bound)
        .build(options.connect(&url).await.unwrap())
        .unwrap();
    let app = Router::new()
        .route("/", get(async || "inner"))
        .layer(ApiKeyLayer::new(ring));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The test runner may have begun a line.
    println!("\nlistening on http://{}/", listener.local_addr().unwrap());
    axum::serve(listener, app).await.unwrap();
}

/// A server process, and its URL.
fn serve(database: &str, bound: &str) -> (Running, String) {
    let environment = [(DATABASE, database), (BOUND, bound)];
    let running = Running::again("fleet::server", environment);
    loop {
        let Some(line) = running.next_line() else {
            panic!("the server serves nothing: {:?}", running.end());
        };
        if let Some(url) = line.strip_prefix("listening on ") {
            return (running, url.to_owned());
        }
    }
}

#[tokio::test]
async fn invariant_8_every_server_refuses_the_next_request_once_a_command_revoked_its_key() {
    let mut shell = Shell::without_store();
    shell.store = database().await;
    let servers = [serve(&shell.store, "30"), serve(&shell.store, "30")];
    let statuses = |key: &str| servers.each_ref().map(|(_, url)| status(url, key));
    for _ in 0..3 {
        let (first, first_id) = shell.mint(&["issue", "--subject", "alice"]);
        assert_eq!(statuses(&first), ["200", "200"]);
        let (second, second_id) = shell.mint(&["rotate", &first_id, "--grace", "1h"]);
        assert_eq!(statuses(&first), ["200", "200"]);
        assert_eq!(statuses(&second), ["200", "200"]);

        let revoked = shell.run(&["revoke", &first_id]);
        assert_eq!(revoked.stdout, format!("{first_id} is revoked\n"));
        assert!(revoked.stderr.contains(&second_id), "it still works");
        assert_eq!(statuses(&first), ["401", "401"]);
        assert_eq!(statuses(&second), ["200", "200"]);
        let revoked = shell.run(&["revoke", &second_id]);
        assert_eq!(revoked, ran(0, &format!("{second_id} is revoked\n"), ""));
        assert_eq!(statuses(&second), ["401", "401"]);
    }
}

#[tokio::test]
async fn r20_a_server_outlives_the_end_of_its_database() {
    let postgres = PgServer::start("off");
    let mut shell = Shell::without_store();
    shell.store = postgres.database().await;
    let (_running, url) = serve(&shell.store, "10");
    let (live, _) = shell.mint(&["issue", "--subject", "alice"]);
    let (revoked, revoked_id) = shell.mint(&["issue", "--subject", "bob"]);
    assert_eq!(shell.run(&["revoke", &revoked_id]).code, 0);
    assert_eq!(answer_within_bound(&url, &live), "200 inner");
    assert_eq!(status(&url, &revoked), "401");

    postgres.stop();
    for key in [&live, &revoked, &live] {
        let answer = answer_within_bound(&url, key);
        assert!(answer.starts_with("503 {"), "{answer}");
        assert!(answer.contains("Key store unavailable"), "{answer}");
    }

    postgres.start_again();
    assert_eq!(answer_within_bound(&url, &live), "200 inner");
    assert_eq!(status(&url, &revoked), "401");
}

/// The status and the body, which arrive within the server's ten seconds plus the delay of a loaded
/// machine, or just `000` if they do not.
fn answer_within_bound(url: &str, key: &str) -> String {
    let header = format!("x-api-key: {key}");
    let arguments = ["-s", "-m", "30", "-w", "%{stderr}%{http_code}", "-H"];
    let output = run("curl", arguments.into_iter().chain([header.as_str(), url]));
    let [body, status] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    format!("{status} {body}")
}
