//! Changes by the command line reach servers that run.

use super::{Shell, ran};
use tower_api_key_test_support::process::{Running, run};

pub(super) fn status(url: &str, key: &str) -> String {
    let header = format!("x-api-key: {key}");
    let head = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H"];
    let output = run("curl", head.into_iter().chain([header.as_str(), url]));
    String::from_utf8(output.stdout).unwrap()
}

/// With the ring of the quickstart.
fn demo<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--prefix", "demo", "--realm", "demo"]].concat()
}

#[test]
fn invariant_8_a_running_server_refuses_what_the_command_line_revoked() {
    let shell = Shell::new();
    let keys = shell.folder.path().join("keys.db");
    let (running, url) = Running::serve_keys_of("embedded", &keys);
    let url = format!("{url}/public");

    let (first, first_id) = shell.mint(&demo(&["issue", "--subject", "carol"]));
    assert_eq!(
        status(&url, &first),
        "200",
        "a key is good for the next request"
    );
    let (second, second_id) = shell.mint(&demo(&["rotate", &first_id, "--grace", "1h"]));
    assert_eq!(status(&url, &first), "200");
    assert_eq!(status(&url, &second), "200");

    let revoked = shell.run(&demo(&["revoke", &first_id]));
    assert_eq!(revoked.stdout, format!("{first_id} is revoked\n"));
    assert!(revoked.stderr.contains(&second_id), "it still works");
    assert_eq!(status(&url, &first), "401");
    assert_eq!(status(&url, &second), "200");
    let revoked = shell.run(&demo(&["revoke", "--subject", "carol"]));
    assert_eq!(revoked, ran(0, "1 key of the subject revoked\n", ""));
    assert_eq!(status(&url, &second), "401");

    let shown = shell.run(&demo(&["show", &second_id, "--json"])).json();
    assert_eq!(shown["state"], "revoked");
    running.interrupt();
}

/// The same between processes on Postgres, of which each command is one.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_postgres() {
    use std::time::Duration;

    use bytes::Bytes;
    use http::StatusCode;
    use http_body_util::Full;
    use tower::{Layer, service_fn};
    use tower_api_key::{ApiKeyLayer, KeyRing};

    use tower_api_key_test_support::pg_server::{empty_database, patient};
    use tower_api_key_test_support::support::{send, with_key};

    let mut shell = Shell::without_store();
    shell.store = empty_database().await;
    let missing = shell.run(&["list"]);
    assert_eq!(
        (missing.code, missing.stdout.as_str()),
        (5, ""),
        "{missing:?}"
    );
    assert_eq!(missing.stderr.lines().count(), 1);
    assert_eq!(shell.run(&["migrate"]), ran(0, "the store is ready\n", ""));

    let store = patient().connect(&shell.store).await.unwrap();
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(Duration::from_mins(1))
        .build(store)
        .unwrap();
    let service = ApiKeyLayer::new(ring).layer(service_fn(|_: http::Request<()>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::from("inner")))
    }));
    let (first, first_id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    assert_eq!(
        send(&service, with_key(&first)).await.status,
        StatusCode::OK
    );
    let (second, second_id) = shell.mint(&["rotate", &first_id]);
    assert_eq!(
        send(&service, with_key(&first)).await.status,
        StatusCode::OK
    );
    let (third, third_id) =
        shell.mint(&["regrant", &second_id, "--scope", "write", "--scope", "read"]);
    for dead in [&first, &second] {
        let answer = send(&service, with_key(dead)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        send(&service, with_key(&third)).await.status,
        StatusCode::OK
    );
    let narrowed = shell.run(&["narrow", &third_id, "--scope", "read"]);
    assert_eq!(
        narrowed,
        ran(0, &format!("{third_id} has the scopes read\n"), "")
    );
    assert_eq!(shell.verdict(&third), "accepted");
    let revoked = shell.run(&["revoke", "--lineage", &first_id]);
    assert_eq!(revoked, ran(0, "1 key of the lineage revoked\n", ""));
    let answer = send(&service, with_key(&third)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        shell
            .run(&["list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        shell.run(&["show", &third_id, "--json"]).json()["state"],
        "revoked"
    );
    let purged = shell.run(&["purge", "--retention", "0s"]);
    assert_eq!(purged, ran(0, "3 keys removed\n", ""));
    let staleness = |arguments: &[&str]| shell.run(&[&["staleness"], arguments].concat());
    assert_eq!(staleness(&[]), ran(0, "5s\n", ""));
    assert_eq!(staleness(&["--set", "750ms"]), ran(0, "750ms\n", ""));
    assert_eq!(staleness(&["--set", "10m"]), ran(0, "600s\n", ""));
    assert_eq!(staleness(&["--json"]).json()["staleness_ms"], 600_000);
    for out in ["99ms", "0s", "601s", "ms"] {
        let refused = staleness(&["--set", out]);
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (2, ""),
            "{refused:?}"
        );
    }
}
