//! Who changed which key.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use super::{Ran, Shell, failed, ran};

/// The lines of an export, each an object.
fn entries(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn history_says_who_revoked_that_one() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&[
        "issue",
        "--subject",
        "alice",
        "--scope",
        "read",
        "--scope",
        "write",
    ]);
    let (_, other) = shell.mint(&[
        "issue",
        "--subject",
        "bob",
        "--never-expires",
        "--max-lifetime",
        "unlimited",
    ]);
    for arguments in [
        &["narrow", &id, "--scope", "read", "--as", "carol"][..],
        &["describe", &id, "--label", "laptop", "--as", "carol"],
        &[
            "revoke",
            &id,
            "--reason",
            "key_compromise",
            "--as",
            "dave@example.com",
        ],
    ] {
        assert_eq!(shell.run(arguments).code, 0, "{arguments:?}");
    }
    let names = [(id.as_str(), "THE_FIRST_ID"), (&other, "THE_OTHER_ID")];
    let shown = shell.run(&["history", &id]).named(&names);
    let lines: Vec<&str> = shown.stdout.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "WHEN                  KEY           SUBJECT  WHAT       BY                CHANGE",
            "TIME  THE_FIRST_ID  alice    revoked    dave@example.com  revocation_reason: key_compromise; revoked_at: TIME",
            "TIME  THE_FIRST_ID  alice    described  carol             label: changed",
            "TIME  THE_FIRST_ID  alice    narrowed   carol             scopes: read write -> read",
            "TIME  THE_FIRST_ID  alice    added      ops@example.com   scopes: read write; caveats: none; expires_at: TIME",
        ]
    );
    let of_bob = shell.run(&["history", "--subject", "bob"]);
    assert_eq!(of_bob.stdout.lines().count(), 2);
    for (filter, count) in [
        (&["--since", "1h"][..], 5),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
        (&["--before", "1h"], 0),
        (&["--limit", "2"], 2),
        (&["--subject", "carol"], 0),
    ] {
        let arguments = [&["history", "--json"], filter].concat();
        assert_eq!(entries(&shell.run(&arguments)).len(), count, "{filter:?}");
    }
    assert_eq!(
        shell.run(&["history", "--before", "1h"]),
        ran(0, "", "no entries\n")
    );
}

#[test]
fn an_export_has_each_entry_in_a_line_and_goes_on_where_it_stopped() {
    let shell = Shell::new();
    let (key, id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    shell.mint(&["rotate", &id, "--now"]);
    let whole = entries(&shell.run(&["history", "--oldest-first", "--json"]));
    assert_eq!(whole.len(), 3);
    let first = &whole[0];
    assert_eq!(first["kind"], "added");
    assert_eq!(first["key_id"], id);
    assert_eq!(first["subject"], "alice");
    assert_eq!(first["realm"], "orders");
    assert_eq!(first["actor"], "ops@example.com");
    assert_eq!(first["role"], json!(null));
    assert_eq!(first["by_hand"], false);
    assert_eq!(first["after"]["scopes"], "read");
    assert_eq!(first["before"], json!({}));
    let text = whole.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains(&key[18..30]), "a part of the secret");

    let page = shell.run(&["history", "--oldest-first", "--json", "--limit", "2"]);
    assert_eq!(entries(&page), whole[..2]);
    let place = page.stderr.trim_end().rsplit(' ').next().unwrap();
    let rest = shell.run(&["history", "--oldest-first", "--json", "--after", place]);
    assert_eq!(entries(&rest), whole[2..]);
    let wrong = shell.run(&["history", "--after", "0123456789Ab-x"]);
    assert_eq!(wrong.code, 5, "{wrong:?}");
}

#[test]
fn a_retention_that_is_asked_for_says_so() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice"]);
    let kept = shell.run(&["history", "--forget-older-than", "1d"]);
    assert_eq!(kept, ran(0, "0 entries removed from the history\n", ""));
    assert_eq!(entries(&shell.run(&["history", &id, "--json"])).len(), 1);
    let file = shell.folder.path().join("keys.db");
    // As if it had been written a year ago.
    let hand = rusqlite::Connection::open(&file).unwrap();
    let guard = "SELECT sql FROM sqlite_schema WHERE name = 'api_key_history_stays_as_it_is'";
    let guard: String = hand.query_row(guard, [], |row| row.get(0)).unwrap();
    hand.execute_batch(&format!(
        "DROP TRIGGER api_key_history_stays_as_it_is; UPDATE api_key_history SET at = at - 31536000; {guard};"
    ))
    .unwrap();
    drop(hand);
    let forgotten = shell.run(&["history", "--forget-older-than", "90d", "--as", "dpo"]);
    assert_eq!(forgotten, ran(0, "1 entry removed from the history\n", ""));
    let left = entries(&shell.run(&["history", "--json"]));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["kind"], "forgotten");
    assert_eq!(left[0]["actor"], "dpo");
    assert_eq!(left[0]["after"]["entries"], "1");
}

/// As the upkeep of a service leaves it. It is no change of the key.
#[test]
fn a_notice_of_expiry_is_in_the_history_and_is_not_the_last_change() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    let path = shell.folder.path().join("keys.db");
    let database = rusqlite::Connection::open(path).unwrap();
    let claim = "UPDATE api_key_acting SET by_store = 1; UPDATE api_keys SET noticed_step = 604800;
        UPDATE api_key_acting SET by_store = 0";
    database.execute_batch(claim).unwrap();
    let exported = entries(&shell.run(&["history", &id, "--json"]));
    assert_eq!(exported.len(), 2);
    let noticed = &exported[0];
    assert_eq!(noticed["kind"], "expiry_noticed");
    assert_eq!(noticed["subject"], "alice");
    assert_eq!(noticed["actor"], json!(null));
    assert_eq!(noticed["by_hand"], false);
    assert_eq!(noticed["after"]["notice_step"], "604800");
    assert_eq!(
        noticed["after"]["expires_at"],
        exported[1]["after"]["expires_at"]
    );
    let shown = shell
        .run(&["history", &id])
        .named(&[(id.as_str(), "THE_ID")]);
    let line = shown.stdout.lines().nth(1).unwrap();
    assert_eq!(
        line,
        "TIME  THE_ID  alice    expiry_noticed  -                expires_at: TIME; notice_step: 604800"
    );
    let shown = shell.run(&["show", &id, "--json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["last_change"]["kind"], "added");
}

#[test]
fn the_user_of_the_system_is_the_actor_unless_one_is_named() {
    let shell = Shell::new();
    let issue = ["issue", "--subject", "alice"];
    for (variables, actor) in [
        (
            &[("USER", "root"), ("SUDO_USER", "erin")][..],
            json!("erin"),
        ),
        (&[("USER", "root")], json!("root")),
        // What is no actor is passed over.
        (
            &[("USER", "a\u{202e}b"), ("LOGNAME", "frank")],
            json!("frank"),
        ),
        (
            &[],
            json!(format!("uid {}", fs::metadata("/proc/self").unwrap().uid())),
        ),
    ] {
        let mut command = shell.command(&issue);
        command.env_remove("TOWER_API_KEY_ACTOR");
        for variable in ["SUDO_USER", "USER", "LOGNAME", "USERNAME"] {
            command.env_remove(variable);
        }
        let issued = Ran::of(command.envs(variables.iter().copied()).output().unwrap());
        let id = issued.stdout.split('_').nth(1).unwrap();
        let history = shell.run(&["history", id, "--json"]);
        assert_eq!(entries(&history)[0]["actor"], actor);
    }
    let key = "acme_0123456789Ab_0123456789ABCDEFGHIJabcdefghij12";
    let refused = shell.run(&["revoke", "0123456789Ab", "--as", key]);
    let advice = "invalid actor: use 1 to 256 bytes without control and format characters, no = at the start, and no key";
    assert_eq!(refused, failed(2, advice));
}
