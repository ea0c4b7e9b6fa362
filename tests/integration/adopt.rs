//! The services of `examples/adopt`, before and after: the same tests, and the lines that were written by hand.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use http::{HeaderName, Request, StatusCode};
use serde_json::json;

use crate::support::{Whole, X_API_KEY, send};

#[path = "../../examples/adopt/sync/after.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod sync;
#[path = "../../examples/adopt/sync/before.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod sync_before;
#[path = "../../examples/adopt/web/after.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod web;
#[path = "../../examples/adopt/web/before.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod web_before;

/// A request as the tests write it: method, path, headers and body.
async fn ask(
    app: &Router,
    line: &str,
    headers: &[(HeaderName, &str)],
    body: impl Into<Body>,
) -> Whole {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    send(app, request.body(body.into()).unwrap()).await
}

const OLD_SESSION: &str = "6f1d0c8e44d19b3a7755aa00ffee1234";

fn users() -> HashMap<String, String> {
    let users = [("alice", "secret"), ("bob", "hidden")];
    users
        .map(|(user, password)| (user.into(), password.into()))
        .into()
}

fn old_sessions() -> HashMap<String, String> {
    [(OLD_SESSION.to_owned(), "bob".to_owned())].into()
}

async fn log_in(app: &Router, name: &str, password: &str) -> Whole {
    let login = json!({"name": name, "password": password}).to_string();
    let headers = [(CONTENT_TYPE, "application/json")];
    ask(app, "POST /login", &headers, login).await
}

async fn a_sync_server(app: Router) {
    for (name, password) in [("alice", "wrong"), ("carol", "secret"), ("", "")] {
        let refused = log_in(&app, name, password).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{name}");
    }
    let session = log_in(&app, "alice", "secret").await.json()["session"].clone();
    let alice = format!("Token {}", session.as_str().unwrap());
    let bob = format!("Token {OLD_SESSION}");
    for (user, command) in [(&alice, "ls"), (&bob, "make"), (&alice, "cd ..")] {
        let headers = [(AUTHORIZATION, user.as_str())];
        let added = ask(&app, "POST /history", &headers, command).await;
        assert_eq!(added.status, StatusCode::CREATED);
    }
    for (user, history) in [(&alice, json!(["ls", "cd .."])), (&bob, json!(["make"]))] {
        let headers = [(AUTHORIZATION, user.as_str())];
        let shown = ask(&app, "GET /history", &headers, "").await;
        assert_eq!(shown.json(), history);
    }
    for wrong in [
        &[][..],
        &[(AUTHORIZATION, "Token nonsense")],
        &[(AUTHORIZATION, "Token ")],
        &[(AUTHORIZATION, "Basic YTpi")],
        &[(AUTHORIZATION, OLD_SESSION)],
        &[(X_API_KEY, OLD_SESSION)],
    ] {
        let refused = ask(&app, "GET /history", wrong, "").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    for (user, other) in [(&alice, &bob), (&bob, &alice)] {
        let headers = [(AUTHORIZATION, user.as_str())];
        assert_eq!(ask(&app, "POST /logout", &headers, "").await.status, 200);
        let refused = ask(&app, "GET /history", &headers, "").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        if user == &alice {
            let headers = [(AUTHORIZATION, other.as_str())];
            assert_eq!(ask(&app, "GET /history", &headers, "").await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_sync_server_does_after_what_it_did_before() {
    a_sync_server(sync_before::app(sync_before::Tables {
        passwords: users(),
        sessions: old_sessions(),
        ..Default::default()
    }))
    .await;
    let tables = sync::Tables {
        passwords: users(),
        sessions: old_sessions(),
        ..Default::default()
    };
    a_sync_server(sync::app(tables).await.unwrap()).await;
}

const API_KEY: &str = "0c8e44d1a9b34f7e8d21c6f05b9e7a13";

async fn a_web_application(app: Router, is_required: bool) {
    for (headers, user) in [
        (&[][..], None),
        (&[(COOKIE, "session=6f1d")], Some("alice")),
        (&[(COOKIE, "theme=dark; session=6f1d")], Some("alice")),
        (&[(COOKIE, "session=0000")], None),
        (&[(X_API_KEY, API_KEY)], Some("reporter")),
        (&[(X_API_KEY, "nonsense")], None),
        (
            &[(X_API_KEY, API_KEY), (COOKIE, "session=6f1d")],
            Some("alice"),
        ),
        (
            &[(X_API_KEY, API_KEY), (COOKIE, "session=0000")],
            Some("reporter"),
        ),
        (
            &[(X_API_KEY, "nonsense"), (COOKIE, "session=6f1d")],
            Some("alice"),
        ),
        (&[(X_API_KEY, "nonsense"), (COOKIE, "session=0000")], None),
    ] {
        let response = ask(&app, "GET /report", headers, "").await;
        let expected = match (is_required, user) {
            (false, _) => "a report for everyone".to_owned(),
            (true, Some(user)) => format!("a report for {user}"),
            (true, None) => {
                assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{headers:?}");
                continue;
            }
        };
        assert_eq!(response.status, StatusCode::OK, "{headers:?}");
        assert_eq!(response.body, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_web_application_does_after_what_it_did_before() {
    let sessions = || HashMap::from([("6f1d".to_owned(), "alice".to_owned())]);
    let api_keys = || HashMap::from([(API_KEY.to_owned(), "reporter".to_owned())]);
    for require_login in [false, true] {
        let settings = web_before::Settings {
            require_login,
            sessions: sessions(),
            api_keys: api_keys(),
        };
        a_web_application(web_before::app(settings), require_login).await;
        let settings = web::Settings {
            require_login,
            sessions: sessions(),
            api_keys: api_keys(),
        };
        let app = web::app(settings).await.unwrap();
        a_web_application(app, require_login).await;
    }
}

/// The lines of code of a service after that it did not have before, and those that it no longer has. Comments and
/// empty lines do not count.
fn changed(service: &str) -> (usize, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/adopt");
    let lines = |name: String| -> Vec<String> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let lines = text.lines().map(str::trim);
        let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
        code.map(str::to_owned).collect()
    };
    let before = lines(format!("{service}/before.rs"));
    let after = lines(format!("{service}/after.rs"));
    // The longest common subsequence.
    let mut common = vec![0; after.len() + 1];
    for line in &before {
        let mut diagonal = 0;
        for (at, other) in after.iter().enumerate() {
            let above = common[at + 1];
            common[at + 1] = if line == other {
                diagonal + 1
            } else {
                above.max(common[at])
            };
            diagonal = above;
        }
    }
    let same = common[after.len()];
    (after.len() - same, before.len() - same)
}

#[test]
fn the_guide_says_how_many_lines_were_written_by_hand() {
    let guide = include_str!("../../src/guide/adopting.rs");
    for (service, most) in [("sync", 40), ("web", 30)] {
        let (written, removed) = changed(service);
        assert!(written <= most, "{service}: {written}");
        let row = format!("| `adopt_{service}` | {written} | {removed} |");
        assert!(guide.contains(&row), "{row}");
    }
}
