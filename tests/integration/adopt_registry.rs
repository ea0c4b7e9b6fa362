//! A registry that authenticates its own way, before and after it takes this crate: the same tests pass, and the
//! difference is counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use tower_api_key::testing::{Matrix, MatrixKeys, WantedKey};
use tower_api_key::{Access, KeyState, RouteTable, Source};

use self::tables::Tables;
use crate::support::{Whole, send};

#[expect(unreachable_pub, reason = "modules of a service")]
#[path = "../../examples/adopt/registry/after.rs"]
mod after;
#[expect(unreachable_pub, reason = "modules of a service")]
#[path = "../../examples/adopt/registry/before.rs"]
mod before;
#[expect(unreachable_pub, reason = "modules of a service")]
#[path = "../../examples/adopt/registry/tables.rs"]
mod tables;

/// The tokens of the clients: those of an administrator and of a user, and one that may not publish.
const ROOT: &str = "reg4f9A7YqZr01mLw8Vx6pTe2Nd";
const ALICE: &str = "regu71Bc9XyQw33rTzLm0PoVe5s";
const READS: &str = "regHh28sKd01lqPxYv7Nn3bRt6W";

struct Registry {
    name: &'static str,
    app: Router,
    tables: Tables,
    root: u64,
    alice: u64,
}

/// The registry as it was, and as it is, each over its own tables.
fn registries() -> [Registry; 2] {
    type App = fn(Tables) -> Router;
    let apps: [(_, App); 2] = [
        ("before", before::app),
        ("after", |tables| after::app(tables).unwrap()),
    ];
    apps.map(|(name, app)| {
        let tables = Tables::default();
        let (root, alice) = (tables.add_user("root"), tables.add_user("alice"));
        tables.change_user(root, |user| user.is_admin = true);
        tables.add_token(ROOT, root, "publish remove");
        tables.add_token(ALICE, alice, "publish remove");
        tables.add_token(READS, alice, "");
        let app = app(tables.clone());
        Registry {
            name,
            app,
            tables,
            root,
            alice,
        }
    })
}

impl Registry {
    async fn send(&self, method: Method, path: &str, token: Option<&str>) -> Whole {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        send(&self.app, request.body(Body::empty()).unwrap()).await
    }

    async fn answers(&self, method: Method, path: &str, token: Option<&str>, expected: u16) {
        let answer = self.send(method, path, token).await;
        assert_eq!(answer.status, expected, "{} {path} {token:?}", self.name);
    }
}

#[tokio::test]
async fn a_raw_token_says_who_sends_a_request() {
    for registry in registries() {
        for (token, name) in [(ROOT, "root"), (ALICE, "alice"), (READS, "alice")] {
            let answer = registry.send(Method::GET, "/me", Some(token)).await;
            assert_eq!(
                (answer.status, &answer.body[..]),
                (StatusCode::OK, name.as_bytes())
            );
        }
        let wrong = "reg4f9A7YqZr01mLw8Vx6pTe2Ne";
        for token in [
            None,
            Some(wrong),
            Some(""),
            Some("Bearer reg4f9A7YqZr01mLw8Vx6pTe2Nd"),
        ] {
            registry.answers(Method::GET, "/me", token, 401).await;
        }
        registry.answers(Method::GET, "/summary", None, 200).await;
    }
}

#[tokio::test]
async fn scopes_of_the_token_and_flags_of_the_user_both_count() {
    for registry in registries() {
        for (method, path, token, status) in [
            (Method::PUT, "/packages", ALICE, 200),
            (Method::PUT, "/packages", READS, 403),
            (Method::DELETE, "/packages/left", ROOT, 200),
            // Her token has the scope, and she is no administrator.
            (Method::DELETE, "/packages/left", ALICE, 403),
        ] {
            registry.answers(method, path, Some(token), status).await;
        }
        let published = registry.send(Method::PUT, "/packages", Some(ALICE)).await;
        assert_eq!(published.body, "published by alice");
    }
}

#[tokio::test]
async fn r32_a_change_of_the_tables_counts_at_the_next_request() {
    for registry in registries() {
        let Registry {
            tables,
            root,
            alice,
            ..
        } = &registry;
        let remove = async |status| {
            let path = "/packages/left";
            registry
                .answers(Method::DELETE, path, Some(ROOT), status)
                .await;
        };
        remove(200).await;
        tables.change_user(*root, |user| user.is_admin = false);
        remove(403).await;
        registry
            .answers(Method::PUT, "/packages", Some(ROOT), 200)
            .await;
        tables.change_user(*root, |user| user.is_admin = true);
        remove(200).await;
        tables.change_user(*root, |user| user.is_locked = true);
        remove(401).await;

        registry.answers(Method::GET, "/me", Some(ALICE), 200).await;
        tables.revoke_tokens(*alice);
        registry.answers(Method::GET, "/me", Some(ALICE), 401).await;
    }
}

#[tokio::test]
async fn r20_a_database_that_is_down_lets_no_one_in() {
    for registry in registries() {
        registry.tables.set_down(true);
        registry.answers(Method::GET, "/me", Some(ROOT), 503).await;
        registry.tables.set_down(false);
        registry.answers(Method::GET, "/me", Some(ROOT), 200).await;
    }
}

#[tokio::test]
async fn the_registry_passes_the_matrix() {
    let tables = Tables::default();
    let routes = RouteTable::builder()
        .get("/summary", Access::Public)
        .get("/me", Access::AnyKey)
        .put("/packages", "publish")
        .delete("/packages/{name}", "remove")
        .build()
        .unwrap();
    let (of_test, count) = (tables.clone(), AtomicUsize::new(0));
    let give = move |wanted: WantedKey| {
        let user = of_test.add_user("root");
        of_test.change_user(user, |user| user.is_admin = true);
        let text = format!(
            "reg4f9A7YqZr01mLw8Vx{}",
            count.fetch_add(1, Ordering::Relaxed)
        );
        of_test.add_token(&text, user, wanted.scopes().as_str().to_owned().leak());
        let text = match wanted.state() {
            KeyState::Live => Some(text),
            KeyState::Revoked => {
                of_test.revoke_tokens(user);
                Some(text)
            }
            // Its tokens have no end.
            _ => None,
        };
        async move { Ok(text) }
    };
    let keys = MatrixKeys::given(after::verifier(tables.clone()).unwrap(), give);
    let matrix = Matrix::new(keys, routes).sources([Source::authorization_raw()]);
    let app = after::app(tables).unwrap().into_service::<Body>();
    matrix.check(app).await.unwrap();
}

/// The lines that are only in the first text, and those that are only in the second, in their order.
fn difference<'a>(before: &'a str, after: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    // The length of the longest common part of what follows each pair of places.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                1 + common[i + 1][j + 1]
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut removed, mut added, mut i, mut j) = (Vec::new(), Vec::new(), 0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            removed.push(old[i]);
            i += 1;
        } else {
            added.push(new[j]);
            j += 1;
        }
    }
    removed.retain(|line| !line.trim().is_empty());
    added.retain(|line| !line.trim().is_empty());
    (removed, added)
}

#[test]
fn the_guide_shows_the_difference_and_counts_it() {
    let (removed, added) = difference(
        include_str!("../../examples/adopt/registry/before.rs"),
        include_str!("../../examples/adopt/registry/after.rs"),
    );
    assert!(added.len() <= 60, "{} lines by hand", added.len());
    let guide = include_str!("../../src/guide/table.rs");
    let count = format!(
        "{} lines are new, and {} are gone",
        added.len(),
        removed.len()
    );
    assert!(
        guide.contains(&count),
        "the guide does not say that {count}"
    );
    let shown = guide
        .split("```diff")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let shown: Vec<&str> = shown.unwrap().lines().skip(1).collect();
    let shown = |sign: &str| -> Vec<&str> {
        let sign = format!("//! {sign}");
        shown
            .iter()
            .filter_map(|line| line.strip_prefix(&*sign))
            .collect()
    };
    assert_eq!(shown("+"), added);
    assert_eq!(shown("-"), removed);
}
