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

/// What is known of a key, in SQL: the exercised scopes since so many days ago, and the networks.
fn use_for(shell: &Shell, id: &str, scopes: &str, since: u64, networks: &str) {
    let database = Connection::open(shell.folder.path().join("keys.db")).unwrap();
    let (first, last) = (now() - since * DAY, now() - 60);
    let row = format!(
        "INSERT INTO api_key_usage (realm, key_id, scopes, scopes_first, scopes_last, networks, \
         networks_first, networks_further) VALUES \
         ('orders', '{id}00000000', '{scopes}', {first}, {last}, '{networks}', {first}, 0)"
    );
    database.execute_batch(&row).unwrap();
}

fn with_scopes(shell: &Shell, id: &str, scopes: &str) {
    let late = (now() + 60 * DAY).to_string();
    insert(shell, id, "alice", &late, &(now() - 60).to_string());
    let database = Connection::open(shell.folder.path().join("keys.db")).unwrap();
    unguarded(&database, || {
        let scopes = format!("UPDATE api_keys SET scopes = '{scopes}', version = version + 1");
        let scopes = format!("{scopes} WHERE id = '{id}00000000'");
        database.execute_batch(&scopes).unwrap();
    });
}

#[test]
fn scopes_that_no_request_needs_are_taken_away_by_the_command() {
    let shell = Shell::new();
    with_scopes(&shell, "AAAA", "orders:read orders:write");
    with_scopes(&shell, "BBBB", "$(touch${IFS}hacked) -x a b");
    // In use for too short a time, and one without a scope that was exercised.
    with_scopes(&shell, "CCCC", "orders:read orders:write");
    with_scopes(&shell, "DDDD", "orders:read");
    use_for(&shell, "AAAA", "orders:read", 100, "");
    use_for(&shell, "BBBB", "$(touch${IFS}hacked) -x", 100, "");
    use_for(&shell, "CCCC", "orders:read", 80, "");
    use_for(&shell, "DDDD", "", 100, "");
    let audit = ["audit", "--json", "--ignore", "new_network"];
    let Ran { code, stdout, .. } = shell.run(&audit);
    assert_eq!(code, 8);
    let keys: Value = serde_json::from_str(&stdout).unwrap();
    let seen: Vec<(&str, &Value)> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            let finding = &key["findings"][0];
            assert_eq!(finding["kind"], "scopes_never_exercised");
            (finding["command"].as_str().unwrap(), &finding["scopes"])
        })
        .collect();
    let expected = [
        (
            "tower-api-key narrow AAAA00000000 --scope=orders:read",
            &json!(["orders:write"]),
        ),
        (
            "tower-api-key narrow BBBB00000000 --scope='$(touch${IFS}hacked)' --scope=-x",
            &json!(["a", "b"]),
        ),
        ("tower-api-key show DDDD00000000", &json!(["orders:read"])),
    ];
    assert_eq!(seen, expected);
    for (command, _) in &expected {
        let ran = shell.type_in(command);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
    }
    assert!(!shell.folder.path().join("hacked").exists());
    let later = ["--never-exercised-for", "101d"];
    let ran = shell.run(&[&audit[..], &later].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    // The first two are mended.
    let kinds = "scopes_never_exercised";
    let Ran { stdout, .. } = shell.run(&["audit"]);
    assert_eq!(stdout.matches(kinds).count(), 1, "{stdout}");
    let shown = shell.run(&["show", "AAAA00000000"]).stdout;
    assert!(shown.contains("orders:read (tracked since "), "{shown}");
}

#[test]
fn a_network_that_is_new_to_a_key_is_a_finding() {
    let shell = Shell::new();
    with_scopes(&shell, "AAAA", "a");
    let (old, new) = (now() - 100 * DAY, now() - 2 * DAY);
    let networks = format!("203.0.113.0/24 {old} {new},2001:db8::/48 {new} {new}");
    use_for(&shell, "AAAA", "a", 100, &networks);
    let Ran { code, stdout, .. } = shell.run(&["audit", "--json"]);
    assert_eq!(code, 8);
    let keys: Value = serde_json::from_str(&stdout).unwrap();
    let finding = json!({
        "kind": "new_network",
        "at": rfc3339(new),
        "command": "tower-api-key show AAAA00000000",
        "network": "2001:db8::/48",
    });
    assert_eq!(keys[0]["findings"], json!([finding]));
    let Ran { code, .. } = shell.run(&["audit", "--new-network-within", "1d"]);
    assert_eq!(code, 0);
    let Ran { stdout, .. } = shell.run(&["show", "AAAA00000000", "--json"]);
    let shown: Value = serde_json::from_str(&stdout).unwrap();
    let known = shown["usage"]["networks"]["known"].as_array().unwrap();
    assert_eq!(known.len(), 2, "{stdout}");
    assert_eq!(shown["usage"]["scopes"]["exercised"], "a");
}
