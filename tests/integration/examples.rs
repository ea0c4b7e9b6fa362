//! The examples as their readers use them: started as programs, called over sockets by clients in
//! Rust, curl and Python, and stopped with Ctrl-C.

use std::net::TcpListener;

use serde_json::json;

use crate::process::{Running, run};
use crate::quickstart::Quickstart;
use crate::rows::{INVALID, LACKING, MISSING, client, paste, problem};

#[tokio::test(flavor = "multi_thread")]
async fn quickstart_answers_as_the_table_over_http1_and_http2() {
    let quickstart = Quickstart::start();
    for (version, client) in [("HTTP/1.1", client(false)), ("HTTP/2", client(true))] {
        for row in quickstart.rows().await {
            row.check(&row.ask(&client).await, version);
        }
    }
    quickstart.running.interrupt();
}

#[tokio::test]
async fn curl_sees_the_table_over_http1_and_http2() {
    let quickstart = Quickstart::start();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for row in quickstart.rows().await {
            row.check(&row.ask_with_curl(version), version);
        }
    }
    quickstart.running.interrupt();
}

#[test]
fn a_python_client_sees_the_table() {
    let quickstart = Quickstart::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python_client.py");
    let [read, write] = quickstart.keys();
    let output = run("python3", [script, &quickstart.url, read, write]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ok\n");
    quickstart.running.interrupt();
}

#[test]
fn the_commands_that_quickstart_prints_show_what_they_promise() {
    let quickstart = Quickstart::start();
    let data = json!({"message": "public data", "subject": "alice", "scopes": ["read"]});
    let leaked = "API key in URL: send it in a header, and replace this key";
    let expected = [
        (200, json!({"message": "open to all"})),
        (200, data.clone()),
        (401, problem(401, MISSING)),
        (401, problem(401, INVALID)),
        (
            200,
            json!({"message": "admin action executed", "subject": "bob"}),
        ),
        (403, problem(403, LACKING)),
        (400, problem(400, leaked)),
        (200, data),
    ];
    paste(&quickstart.commands, &expected);
    quickstart.running.interrupt();
}

#[test]
fn i09_the_fleet_example_shows_that_every_node_refuses() {
    let ended = Running::start("fleet", &[], 0).end();
    assert!(ended.status.success(), "{ended:?}");
    // The times differ from run to run.
    let said: Vec<&str> = ended
        .stdout
        .iter()
        .map(|line| line.split(" after ").next().unwrap())
        .collect();
    let expected = [
        "node 1: alice's key is a 200 OK",
        "node 1: bob's key is a 200 OK",
        "node 2: alice's key is a 200 OK",
        "node 2: bob's key is a 200 OK",
        "node 3: alice's key is a 200 OK",
        "node 3: bob's key is a 200 OK",
        "",
        "alice's key is revoked while all nodes run",
        "node 1: 401 Unauthorized",
        "node 2: 401 Unauthorized",
        "node 3: 401 Unauthorized",
        "",
        "bob's key is revoked while node 3 is stopped",
        "node 1: 401 Unauthorized",
        "node 2: 401 Unauthorized",
        "settled",
        "node 3: 401 Unauthorized",
    ];
    assert_eq!(said, expected);
    let last = ended.stdout.last().unwrap();
    assert!(last.ends_with("and 0 accepted before"), "{last}");
}

#[test]
fn the_tonic_example_shows_codes_0_16_and_7_and_ends() {
    let ended = Running::start("tonic", &[], 0).end();
    assert!(ended.status.success(), "{ended:?}");
    let said: Vec<&str> = ended.stdout.iter().map(String::as_str).skip(2).collect();
    assert_eq!(
        said,
        [
            "/demo.Greeter/Greet with the scope: OK, hello, alice",
            "/demo.Greeter/Greet without a key: code 16, API key missing",
            "/demo.Admin/Restart without the scope: code 7, Insufficient scope: expected admin",
            "/demo.Greeter/Rename with one of two scopes: code 7, Insufficient scope: expected greet:write",
            "/demo.Greeter/Rename with both: OK, renamed by bob",
        ]
    );
}

#[test]
fn the_tonic_example_serves_clients_that_are_not_tonic() {
    let (running, _) = Running::serve("tonic", &["serve"]);
    let accepted = running.commands("head", 1);
    let refused = running.commands("curl", 2);
    for (command, code) in accepted.iter().chain(&refused).zip(["0", "16", "7"]) {
        let output = run("sh", ["-c", command]);
        let head = String::from_utf8(output.stdout).unwrap();
        let expected = format!("grpc-status: {code}\r\n");
        assert!(head.starts_with("HTTP/2 200"), "{command}: {head}");
        assert!(head.contains(&expected), "{command}: {head}");
    }
    running.interrupt();
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut examples = vec!["quickstart", "tonic"];
    if cfg!(feature = "axum") {
        examples.extend(["fastapi_port", "axum", "signup", "events"]);
    }
    for example in examples {
        let ended = Running::start(example, &[], port).end();
        assert_eq!(ended.status.code(), Some(1), "{example}: {ended:?}");
        assert_eq!(ended.stdout, Vec::<String>::new(), "{example}");
        let start = format!("Error: \"cannot listen on port {port}: ");
        assert!(ended.stderr.starts_with(&start), "{example}: {ended:?}");
        let end = "; set PORT to another\"\n";
        assert!(ended.stderr.ends_with(end), "{example}: {ended:?}");
    }
}

#[cfg(feature = "axum")]
mod on_axum {
    use http::Method;
    use serde_json::{Value, json};

    use crate::process::Running;
    use crate::rows::{INVALID, LACKING, MISSING, Row, client, keys_in, paste, problem};

    #[tokio::test(flavor = "multi_thread")]
    async fn fastapi_port_keeps_the_contract_of_the_tutorial() {
        let (running, url) = Running::serve("fastapi_port", &[]);
        let client = client(false);
        let keys = [
            None,
            Some("nonsense"),
            Some("public-key-123"),
            Some("admin-key-456"),
        ];
        let data = |scope| (200, json!({"message": "public data", "scope": scope}));
        let done = json!({"message": "admin action executed", "subject": "admin"});
        let hint = (
            200,
            json!({"hint": "Implement key rotation outside this endpoint"}),
        );
        let no_key = (401, problem(401, MISSING));
        let unknown = (403, problem(403, INVALID));
        let invalid = (401, json!({"detail": "Invalid key"}));
        let table = [
            (
                Method::GET,
                "/public",
                [no_key.clone(), unknown.clone(), data("read"), data("write")],
            ),
            (
                Method::POST,
                "/admin",
                [no_key, unknown, (403, problem(403, LACKING)), (200, done)],
            ),
            (
                Method::GET,
                "/keys/rotate",
                [invalid.clone(), invalid, hint.clone(), hint],
            ),
        ];
        for (method, path, answers) in table {
            for (key, (status, body)) in keys.into_iter().zip(answers) {
                let row = Row::new(method.clone(), format!("{url}{path}"), status, body);
                let row = match key {
                    Some(key) => row.key(key),
                    None => row,
                };
                let challenge = match (status, key) {
                    (200, _) => None,
                    (_, None) => Some(r#"ApiKey realm="tutorial""#),
                    (_, Some("nonsense")) => {
                        Some(r#"ApiKey realm="tutorial", error="invalid_token""#)
                    }
                    _ => Some(
                        r#"ApiKey realm="tutorial", error="insufficient_scope", scope="write""#,
                    ),
                };
                let storing = if status == 200 { "private" } else { "no-store" };
                let row = row
                    .expect("www-authenticate", challenge)
                    .expect("vary", Some("x-api-key"))
                    .expect("cache-control", Some(storing));
                row.check(&row.ask(&client).await, "fastapi_port");
            }
        }
        let not_allowed = json!({"detail": "Method Not Allowed"});
        let post = |path| {
            Row::new(
                Method::POST,
                format!("{url}{path}"),
                405,
                not_allowed.clone(),
            )
        };
        let get = |path, status, body| Row::new(Method::GET, format!("{url}{path}"), status, body);
        for row in [
            get("/nowhere", 404, json!({"detail": "Not Found"})),
            get("/public/", 404, json!({"detail": "Not Found"})),
            get("/admin", 405, not_allowed.clone()).expect("allow", Some("POST")),
            post("/public").expect("allow", Some("GET,HEAD")),
            post("/keys/rotate").expect("allow", Some("GET,HEAD")),
            get(
                "/keys/rotate",
                400,
                json!({"detail": "Ambiguous API key: the header is repeated"}),
            )
            .key("public-key-123")
            .key("public-key-123"),
        ] {
            row.check(&row.ask(&client).await, "fastapi_port");
        }
        running.interrupt();
    }

    #[test]
    fn the_commands_that_fastapi_port_prints_show_what_they_promise() {
        let (running, _) = Running::serve("fastapi_port", &[]);
        let expected = [
            (200, json!({"message": "public data", "scope": "read"})),
            (401, problem(401, MISSING)),
            (403, problem(403, INVALID)),
            (
                200,
                json!({"message": "admin action executed", "subject": "admin"}),
            ),
            (403, problem(403, LACKING)),
            (
                200,
                json!({"hint": "Implement key rotation outside this endpoint"}),
            ),
            (401, json!({"detail": "Invalid key"})),
        ];
        paste(&running.commands("curl", expected.len()), &expected);
        running.interrupt();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_axum_example_gives_each_route_its_scopes() {
        let (running, url) = Running::serve("axum", &[]);
        let lacking = |scopes| problem(403, &format!("Insufficient scope: expected {scopes}"));
        let expected = [
            (200, json!({"message": "hello, stranger"})),
            (200, json!({"message": "hello, alice"})),
            (200, json!({"subject": "alice", "scopes": ["orders:read"]})),
            (401, problem(401, MISSING)),
            (200, json!({"orders": ["tea", "milk"]})),
            (403, lacking("orders:write")),
            (201, json!({"ordered_by": "bob"})),
            (200, json!({"entries": []})),
            (403, lacking("admin and orders:write")),
            (200, json!({"cleared_by": "dave"})),
        ];
        let commands = running.commands("curl", expected.len());
        paste(&commands, &expected);

        let [alice, bob, carol, dave] = keys_in(&commands)[..] else {
            panic!("four keys in {commands:?}");
        };
        let row = |method, path, status, body: Value| {
            Row::new(method, format!("{url}{path}"), status, body)
        };
        let audit_scopes = lacking("admin or auditor");
        let client = client(false);
        for row in [
            row(Method::GET, "/orders", 401, problem(401, MISSING)),
            row(Method::DELETE, "/admin/orders", 401, problem(401, MISSING)),
            row(Method::GET, "/hello", 401, problem(401, INVALID)).key("nonsense"),
            row(Method::GET, "/orders", 403, lacking("orders:read")).key(carol),
            row(Method::GET, "/admin/audit", 200, json!({"entries": []})).key(dave),
            row(Method::GET, "/admin/audit", 403, audit_scopes.clone()).key(alice),
            row(Method::GET, "/admin/audit", 403, audit_scopes).key(bob),
            row(
                Method::DELETE,
                "/admin/orders",
                403,
                lacking("admin and orders:write"),
            )
            .key(carol),
        ] {
            row.check(&row.ask(&client).await, "axum");
        }
        running.interrupt();
    }
}
