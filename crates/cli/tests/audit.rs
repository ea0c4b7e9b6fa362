//! The findings of `audit`, and its exit codes.

use rusqlite::Connection;
use serde_json::{Value, json};
use tower_api_key::{Clock, SystemClock, Timestamp};

use super::{Ran, Shell, ran};
use tower_api_key_test_support::sqlite::unguarded;

/// A day, in seconds.
const DAY: u64 = 86_400;

const UNTRACKED: &str = "tower-api-key: warning: no key was ever used, as far as the store knows: the service \
                         may not track last uses\n";

fn now() -> u64 {
    SystemClock.now().as_unix()
}

fn rfc3339(at: u64) -> String {
    Timestamp::from_unix(at).to_rfc3339()
}

/// Adds a key that was issued 200 days ago, with an end and a last use in SQL.
fn insert(shell: &Shell, id: &str, subject: &str, end: &str, last_used: &str) {
    let database = Connection::open(shell.folder.path().join("keys.db")).unwrap();
    let issued_at = now() - 200 * DAY;
    let row = format!(
        "INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, expires_at, \
         lineage, generation, version, metadata, last_used_at) VALUES \
         ('{id}00000000', 'orders', randomblob(32), '{subject}', 'read', {issued_at}, {issued_at}, \
         {end}, '{id}00000000', 0, 1, '{{}}', {last_used})"
    );
    database.execute_batch(&row).unwrap();
}

#[test]
fn each_finding_has_the_command_that_mends_it() {
    let shell = Shell::new();
    let now = now();
    let (soon, late) = (now + 10 * DAY, now + 60 * DAY);
    let (today, long_ago) = (now - 60, now - 100 * DAY);
    insert(
        &shell,
        "AAAA",
        "fine",
        &late.to_string(),
        &today.to_string(),
    );
    insert(&shell, "BBBB", "bob", "NULL", "NULL");
    insert(
        &shell,
        "CCCC",
        "carol",
        &soon.to_string(),
        &today.to_string(),
    );
    insert(
        &shell,
        "DDDD",
        "dave",
        &late.to_string(),
        &long_ago.to_string(),
    );
    let issued_at = rfc3339(now - 200 * DAY);
    let (soon, long_ago) = (rfc3339(soon), rfc3339(long_ago));
    let Ran {
        code,
        stdout,
        stderr,
    } = shell.run(&["audit"]);
    // The clock may have ticked since the first reading.
    let stdout = stdout.replace(&rfc3339(now + 1 - 200 * DAY), &issued_at);
    let expected = format!(
        "ID            FINDING                 SINCE OR AT           SUBJECT\n\
         BBBB00000000  never_used              {issued_at}  bob\n  \
         tower-api-key revoke BBBB00000000 --reason cessation_of_operation\n\
         BBBB00000000  no_expiry               -                     bob\n  \
         tower-api-key rotate BBBB00000000\n\
         CCCC00000000  expiring                {soon}  carol\n  \
         tower-api-key rotate CCCC00000000\n\
         DDDD00000000  unused                  {long_ago}  dave\n  \
         tower-api-key revoke DDDD00000000 --reason cessation_of_operation\n"
    );
    assert_eq!(stdout, expected);
    let said = "tower-api-key: 4 findings on 3 keys, of 4 judged\n";
    assert_eq!((code, stderr.as_str()), (8, said));
    // The commands do what they are named for.
    let commands = expected.lines().filter_map(|line| line.strip_prefix("  "));
    // A key is revoked or rotated, not both.
    let commands = commands.filter(|line| *line != "tower-api-key rotate BBBB00000000");
    for command in commands {
        let ran = shell.type_in(command);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
    }
    let mended = shell.run(&["audit"]);
    let said = "tower-api-key: note: no findings; 3 keys judged\n";
    assert_eq!(mended, ran(0, "", said));
}

#[test]
fn a_replaced_key_that_is_used_is_named_with_the_key_in_its_place() {
    let shell = Shell::new();
    let late = (now() + 60 * DAY).to_string();
    insert(&shell, "AAAA", "alice", &late, &(now() - 5).to_string());
    let (_, new) = shell.mint(&["rotate", "AAAA00000000"]);
    let none = shell.run(&["audit"]);
    assert_eq!(none.code, 0, "{none:?}");
    let database = Connection::open(shell.folder.path().join("keys.db")).unwrap();
    let used = now() + 1;
    let edit = format!("UPDATE api_keys SET last_used_at = {used} WHERE id = 'AAAA00000000'");
    database.execute_batch(&edit).unwrap();
    let audit = shell.run(&["audit", "--json"]);
    assert_eq!(audit.code, 8, "{audit:?}");
    let value = audit.json();
    let expected = json!([{
        "kind": "used_after_replacement",
        "at": rfc3339(used),
        "command": "tower-api-key revoke AAAA00000000 --reason superseded",
        "replaced_by": new,
    }]);
    assert_eq!(value[0]["findings"], expected);
    assert_eq!(value[0]["state"], "in_grace");
    assert_eq!(value.as_array().map(Vec::len), Some(1));
}

#[test]
fn thresholds_and_ignored_kinds_are_options() {
    let shell = Shell::new();
    let (end, used) = (now() + 30 * DAY, now() - 10 * DAY);
    insert(&shell, "AAAA", "alice", &end.to_string(), &used.to_string());
    insert(&shell, "BBBB", "bob", "NULL", "NULL");
    let kinds = |arguments: &[&str]| -> Vec<String> {
        let audit = shell.run(&[&["audit", "--json"], arguments].concat());
        let value = audit.json();
        let keys = value.as_array().unwrap().iter();
        let kinds = keys.flat_map(|key| key["findings"].as_array().unwrap().clone());
        let kinds = kinds.map(|it: Value| it["kind"].as_str().unwrap().to_owned());
        let kinds: Vec<String> = kinds.collect();
        assert_eq!(audit.code, if kinds.is_empty() { 0 } else { 8 });
        kinds
    };
    assert_eq!(kinds(&[]), ["never_used", "no_expiry"]);
    assert_eq!(
        kinds(&["--unused-for", "9d", "--ignore", "no_expiry"]),
        ["unused", "never_used"]
    );
    assert_eq!(
        kinds(&["--expiring-within", "31d", "--never-used-for", "201d"]),
        ["expiring", "no_expiry"]
    );
    let ignored = ["--ignore", "no_expiry", "--ignore", "never_used"];
    assert_eq!(kinds(&ignored), [""; 0]);
    let wrong = shell.run(&["audit", "--unused-for", "9"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

#[test]
fn a_store_in_which_no_key_was_used_is_named() {
    let shell = Shell::new();
    let note = "tower-api-key: note: no findings; 0 keys judged\n";
    assert_eq!(shell.run(&["audit"]), ran(0, "", note));
    shell.mint(&["issue", "--subject", "alice"]);
    let said = format!("{UNTRACKED}tower-api-key: note: no findings; 1 key judged\n");
    assert_eq!(shell.run(&["audit"]), ran(0, "", &said));
    assert_eq!(shell.run(&["audit", "--json"]).stdout, "[]\n");
}

#[test]
fn a_record_that_cannot_be_read_is_no_clean_report() {
    let shell = Shell::new();
    insert(&shell, "AAAA", "alice", "NULL", "NULL");
    insert(&shell, "BBBB", "bob", "NULL", "NULL");
    let database = Connection::open(shell.folder.path().join("keys.db")).unwrap();
    let damage = "UPDATE api_keys SET metadata = '[]' WHERE id = 'BBBB00000000'";
    unguarded(&database, || database.execute_batch(damage).unwrap());
    let audit = shell.run(&["audit"]);
    assert_eq!(audit.code, 5, "{audit:?}");
    assert!(audit.stdout.contains("AAAA00000000  never_used"));
    let last = audit.stderr.lines().last().unwrap();
    let said = "tower-api-key: 1 record cannot be read, and could not be judged";
    assert_eq!(last, said);
}
