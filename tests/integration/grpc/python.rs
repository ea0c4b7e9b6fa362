//! The same refusals through a second implementation: Python's `grpcio`, which is gRPC's C core.

use std::path::Path;
use std::process::{Command, Output};

use tower_api_key::{ApiKeyLayer, RequireScopeLayer};

use super::greeter::Server;
use crate::support::{key, ring};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/integration/grpc/client.py");

/// The folder that keeps `grpcio` between runs.
const PACKAGES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/grpcio");

fn python(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new("python3")
        .args(arguments)
        .env("PYTHONPATH", PACKAGES)
        .output()
}

/// Installs `grpcio` if it is not there. Returns the reason if it cannot be installed.
fn have_grpcio() -> Result<(), String> {
    let is_there = || python(&["-c", "import grpc"]).is_ok_and(|output| output.status.success());
    if is_there() {
        return Ok(());
    }
    // Remains of an interrupted installation would be in the way of the next.
    let _ = std::fs::remove_dir_all(Path::new(PACKAGES));
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--retries",
        "1",
    ];
    let target = ["--timeout", "20", "--target", PACKAGES, "grpcio"];
    let pip = python(&[&install[..], &target[..]].concat());
    if is_there() {
        return Ok(());
    }
    Err(match pip {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    })
}

/// The output of Python for calls with these keys.
async fn say_with(server: &Server, keys: &[&str]) -> Vec<String> {
    let mut arguments = vec![SCRIPT.to_owned(), server.address.to_string()];
    arguments.extend(keys.iter().map(|key| (*key).to_owned()));
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        python(&arguments).unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn r12_r18_a_client_in_python_gets_its_codes() {
    if let Err(why) = tokio::task::spawn_blocking(have_grpcio).await.unwrap() {
        crate::support::not_run(format_args!(
            "r12_r18_a_client_in_python_gets_its_codes: no grpcio: {why}"
        ));
        return;
    }
    let ring = ring();
    let (reader, writer) = (key(&ring, "read").await, key(&ring, "write").await);
    let server = Server::start(ApiKeyLayer::new(ring).require("read")).await;
    let answers = say_with(&server, &["-", "nonsense", &writer, &reader]).await;
    assert_eq!(
        answers,
        [
            "UNAUTHENTICATED: API key missing",
            "UNAUTHENTICATED: Invalid API key",
            "PERMISSION_DENIED: Insufficient scope: expected read",
            "OK: hello, alice (read); no credential",
        ]
    );
    assert_eq!(server.calls(), 1);
    server.stop().await;

    let alone = Server::start(RequireScopeLayer::new("read")).await;
    let answers = say_with(&alone, &["-"]).await;
    assert_eq!(answers, ["INTERNAL: Authentication layer missing"]);
    alone.stop().await;
}
