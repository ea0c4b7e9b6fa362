//! The example with triggers on the application's own tables, driven by psql.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tower_api_key::{InvalidCause, Issued, KeyRing, VerifyErrorKind};

use super::super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{binaries, database};
use tower_api_key_test_support::support::issue;

fn psql() -> Option<PathBuf> {
    let beside = binaries()?.join("psql");
    let found = beside.is_file().then_some(beside);
    found.or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|folder| folder.join("psql"))
            .find(|file| file.is_file())
    })
}

/// Runs psql with these arguments. Returns its output if it failed.
fn run(psql: &Path, url: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(psql)
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(said)
}

/// The scopes of a key, or the reason why it is refused.
async fn scopes(ring: &KeyRing, issued: &Issued) -> Result<String, VerifyErrorKind> {
    let key = ring.verify(issued.secret().expose().as_bytes()).await;
    key.map(|key| key.scopes().as_str().to_owned())
        .map_err(|error| error.kind())
}

const REVOKED: Result<String, VerifyErrorKind> =
    Err(VerifyErrorKind::Invalid(InvalidCause::Revoked));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_a_trigger_on_the_roles_of_the_application_leaves_no_privilege_behind() {
    let Some(psql) = psql() else {
        tower_api_key_test_support::support::not_run(format_args!(
            "the trigger example: psql is not installed"
        ));
        return;
    };
    let url = database().await;
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/privilege_trigger.sql"
    );
    run(&psql, &url, &["-f", example]).unwrap();
    let members = "INSERT INTO roles VALUES ('reader', '{orders:read}'), \
                       ('editor', '{orders:read,orders:write}'), ('guest', '{}');
                   INSERT INTO members VALUES ('alice', 'editor'), ('bob', 'editor')";
    run(&psql, &url, &["-c", members]).unwrap();
    let ring = ring_over(connect(&url).await);
    let alice = issue(&ring, "orders:read orders:write").await;
    let bob = tower_api_key::Grant::new("bob").scopes(["orders:read", "orders:write"]);
    let bob = ring.issue(bob).await.unwrap();
    let both = Ok("orders:read orders:write".to_owned());
    let read = Ok("orders:read".to_owned());

    // A change that is rolled back removes no rights.
    let undone = "BEGIN; UPDATE members SET role = 'reader'; ROLLBACK";
    run(&psql, &url, &["-c", undone]).unwrap();
    assert_eq!(scopes(&ring, &alice).await, both);

    let demote = "UPDATE members SET role = 'reader' WHERE name = 'alice'";
    run(&psql, &url, &["-c", demote]).unwrap();
    assert_eq!(scopes(&ring, &alice).await, read);
    assert_eq!(scopes(&ring, &bob).await, both);
    // More privilege needs another key, whatever the role is.
    let raise = "UPDATE members SET role = 'editor' WHERE name = 'alice'";
    run(&psql, &url, &["-c", raise]).unwrap();
    assert_eq!(scopes(&ring, &alice).await, read);

    // The role itself.
    let smaller = "UPDATE roles SET scopes = '{orders:read}' WHERE name = 'editor'";
    run(&psql, &url, &["-c", smaller]).unwrap();
    assert_eq!(scopes(&ring, &bob).await, read);

    let guest = "UPDATE members SET role = 'guest' WHERE name = 'bob'";
    run(&psql, &url, &["-c", guest]).unwrap();
    assert_eq!(scopes(&ring, &bob).await, REVOKED);
    let gone = "DELETE FROM members WHERE name = 'alice'";
    run(&psql, &url, &["-c", gone]).unwrap();
    assert_eq!(scopes(&ring, &alice).await, REVOKED);

    // If a change of a role cannot end the keys, it does not happen.
    let bob = tower_api_key::Grant::new("bob").scopes(["orders:read"]);
    let bob = ring.issue(bob).await.unwrap();
    let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM members; COMMIT";
    let said = run(&psql, &url, &["-c", snapshot]).unwrap_err();
    assert!(said.contains("READ COMMITTED"), "{said}");
    assert_eq!(scopes(&ring, &bob).await, read);
    let renamed = "UPDATE members SET name = 'robert'";
    run(&psql, &url, &["-c", renamed]).unwrap();
    assert_eq!(scopes(&ring, &bob).await, REVOKED);
}
