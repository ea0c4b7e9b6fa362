//! Which keys `list` shows, and which details.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Ran, Shell, failed, ran};

/// A day, in seconds.
const DAY: u64 = 86_400;

/// The seconds since the epoch, by the clock of the program.
fn now() -> u64 {
    use tower_api_key::{Clock, SystemClock};
    SystemClock.now().as_unix()
}

/// A store with one key for each kind, named by the fourth character of its id.
struct Keys {
    shell: Shell,
}

impl Keys {
    fn new() -> Self {
        let shell = Shell::new();
        let keys = Self { shell };
        let now = now();
        // Live, issued a week ago, used yesterday, ends in 60 days.
        keys.insert(
            "AAAL",
            "read write",
            now - 7 * DAY,
            None,
            Some(now + 60 * DAY),
            "",
        );
        // Ends within 14 days.
        keys.insert(
            "AAAE",
            "read",
            now - 80 * DAY,
            None,
            Some(now + 10 * DAY),
            "",
        );
        // Never used since its issue, which is 91 days ago.
        keys.insert(
            "AABU",
            "read",
            now - 91 * DAY,
            None,
            None,
            "last_used_at = NULL",
        );
        let replaced = "retire_at = issued_at + 1, version = version + 1";
        keys.insert(
            "AABT",
            "read",
            now - 6 * DAY,
            None,
            Some(now + 70 * DAY),
            replaced,
        );
        let grace = format!("retire_at = {}, version = version + 1", now + DAY / 2);
        keys.insert(
            "ABBG",
            "read",
            now - 5 * DAY,
            None,
            Some(now + 70 * DAY),
            &grace,
        );
        let revoked = "revoked_at = 1, revocation_reason = 'superseded', version = version + 1";
        keys.insert(
            "ABBR",
            "write",
            now - 4 * DAY,
            None,
            Some(now + 70 * DAY),
            revoked,
        );
        keys.insert("BBBX", "write", now - 3 * DAY, None, Some(now - DAY), "");
        keys.insert(
            "BBBN",
            "write",
            now - 2 * DAY,
            Some(now + DAY),
            Some(now + 90 * DAY),
            "",
        );
        keys
    }

    /// Adds a key to the store that was used yesterday, and changes it.
    fn insert(
        &self,
        id: &str,
        scopes: &str,
        issued_at: u64,
        not_before: Option<u64>,
        expires_at: Option<u64>,
        edit: &str,
    ) {
        let database = self.shell.folder.path().join("keys.db");
        let database = Connection::open(database).unwrap();
        let last_used = if edit == "last_used_at = NULL" {
            "NULL".to_owned()
        } else {
            (now() - DAY).to_string()
        };
        let (not_before, end) = (
            not_before.unwrap_or(issued_at),
            expires_at.map_or("NULL".to_owned(), |end| end.to_string()),
        );
        let row = format!(
            "INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, \
             expires_at, lineage, generation, version, metadata, last_used_at) VALUES \
             ('{id}00000000', 'orders', randomblob(32), 'alice', '{scopes}', {issued_at}, \
             {not_before}, {end}, '{id}00000000', 0, 1, '{{}}', {last_used});"
        );
        database.execute_batch(&row).unwrap();
        if !edit.is_empty() && edit != "last_used_at = NULL" {
            let edit = format!("UPDATE api_keys SET {edit} WHERE id = '{id}00000000'");
            database.execute_batch(&edit).unwrap();
        }
    }

    /// The first four characters of the listed ids, in their order.
    #[track_caller]
    fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let listed = self.shell.run(&[&["list", "--json"], arguments].concat());
        assert_eq!(listed.code, 0, "{listed:?}");
        let value = listed.json();
        let keys = value.as_array().unwrap();
        let ids = keys.iter().map(|key| key["id"].as_str().unwrap());
        ids.map(|id| id[..4].to_owned()).collect()
    }
}

#[test]
fn each_filter_lists_its_keys() {
    let keys = Keys::new();
    for (arguments, expected) in [
        (vec![], "AAAE AAAL AABT AABU ABBG ABBR BBBN BBBX"),
        (
            vec!["--newest-first"],
            "BBBN BBBX ABBR ABBG AABT AAAL AAAE AABU",
        ),
        (vec!["--expiring-within", "14d"], "AAAE ABBG"),
        (vec!["--unused-for", "90d"], "AABU"),
        (vec!["--unused-for", "23h"], "AAAE AAAL AABU ABBG BBBN"),
        (vec!["--state", "live"], "AAAE AAAL AABU ABBG"),
        (vec!["--state", "active"], "AAAE AAAL AABU ABBG"),
        (vec!["--state", "in_grace"], "ABBG"),
        (vec!["--state", "not_yet_valid"], "BBBN"),
        (vec!["--state", "expired"], "BBBX"),
        (vec!["--state", "replaced"], "AABT"),
        (vec!["--state", "revoked"], "ABBR"),
        (
            vec!["--state", "expired", "--state", "replaced"],
            "AABT BBBX",
        ),
        (vec!["--scope", "write"], "AAAL ABBR BBBN BBBX"),
        (vec!["--scope", "wri"], ""),
        (vec!["--id-prefix", "AAA"], "AAAE AAAL"),
        (vec!["--id-prefix", "ABBG00000000"], "ABBG"),
        (vec!["--id-prefix", "aaa"], ""),
        (vec!["--scope", "write", "--state", "live"], "AAAL"),
        (
            vec!["--unrevoked", "--scope", "write", "--newest-first"],
            "BBBN BBBX AAAL",
        ),
    ] {
        let listed = keys.listed(&arguments);
        assert_eq!(listed.join(" "), expected, "{arguments:?}");
    }
}

/// The Monday report: keys to rotate, and keys to revoke.
#[test]
fn keys_that_end_soon_and_keys_that_nobody_uses_are_reported() {
    let keys = Keys::new();
    let soon = keys
        .shell
        .run(&["list", "--expiring-within", "14d", "--state", "live"]);
    let columns = "ID            SUBJECT  STATE           ENDS                  LAST USED             SCOPES  LABEL";
    let expected = [
        columns,
        "AAAE00000000  alice    live            TIME  TIME  read",
        "ABBG00000000  alice    live, in grace  TIME  TIME  read",
    ];
    let soon = soon.named(&[]);
    assert_eq!(soon.stdout.lines().collect::<Vec<_>>(), expected);
    assert_eq!((soon.code, soon.stderr.as_str()), (0, ""));

    let unused = keys.shell.run(&["list", "--unused-for", "90d"]);
    let expected = "ID            SUBJECT  STATE  ENDS   LAST USED  SCOPES  LABEL\n\
                    AABU00000000  alice    live   never  -          read\n";
    assert_eq!(unused, ran(0, expected, ""));
    let unused = keys
        .shell
        .run(&["list", "--unused-for", "90d", "--json"])
        .json();
    assert_eq!(unused[0]["last_used"], json!(null));
    let used = keys
        .shell
        .run(&["list", "--id-prefix", "AAAL", "--json"])
        .json();
    assert!(used[0]["last_used"].is_string(), "{used}");
}

#[test]
fn pages_go_on_where_the_one_before_ended() {
    let keys = Keys::new();
    for order in [&[][..], &["--newest-first"]] {
        let all = keys.listed(order);
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut arguments = [&["list", "--json", "--limit", "3"], order].concat();
            if let Some(after) = &after {
                arguments.extend(["--after", after]);
            }
            let page = keys.shell.run(&arguments);
            assert_eq!(page.code, 0, "{page:?}");
            let value = page.json();
            let ids = value.as_array().unwrap().iter();
            seen.extend(ids.map(|key| key["id"].as_str().unwrap()[..4].to_owned()));
            let Some(place) = page
                .stderr
                .strip_prefix("more keys: continue with --after ")
            else {
                assert_eq!(page.stderr, "");
                break;
            };
            after = Some(place.trim_end().to_owned());
        }
        assert_eq!(seen, all);
    }
}

#[test]
fn a_realm_without_keys_names_those_that_have_some() {
    let shell = Shell::new();
    let list = |realm: &str, json: bool| -> Ran {
        let mut arguments = vec!["list", "--realm", realm];
        arguments.extend(json.then_some("--json"));
        shell.run(&arguments)
    };
    let nothing = ran(0, "", "no keys in the realm order\n");
    assert_eq!(list("order", false), nothing);
    shell.mint(&["issue", "--subject", "alice"]);
    let said = "no keys in the realm order; the store has keys in the realm orders\n";
    assert_eq!(list("order", false), ran(0, "", said));
    let remark = serde_json::json!({ "note": said.trim_end() });
    assert_eq!(list("order", true), ran(0, "[]\n", &format!("{remark}\n")));
    shell.mint(&["issue", "--subject", "alice", "--realm", "billing"]);
    let said = "no keys in the realm order; the store has keys in the realms billing, orders\n";
    assert_eq!(list("order", false), ran(0, "", said));
    // It has keys, but none of them matches.
    let none = shell.run(&["list", "--subject", "bob"]);
    assert_eq!(none, ran(0, "", "no keys\n"));
}

#[test]
fn filters_that_make_no_sense() {
    let shell = Shell::new();
    for (arguments, line) in [
        (
            ["--expiring-within", "14"],
            "invalid duration: 14; write a number and a unit of s, m, h, d or w, such as 90d or 1h30m",
        ),
        (
            ["--unused-for", "soon"],
            "invalid duration: soon; write a number and a unit of s, m, h, d or w, such as 90d or 1h30m",
        ),
        (
            ["--id-prefix", "acme_A"],
            "invalid id prefix: use 1 to 12 of 0-9, A-Z and a-z, without the prefix of the key",
        ),
        (
            ["--id-prefix", ""],
            "invalid id prefix: use 1 to 12 of 0-9, A-Z and a-z, without the prefix of the key",
        ),
        (
            ["--scope", "a b"],
            "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\",
        ),
        (
            ["--after", "AAAAAAAAAAAA"],
            "invalid place in a list: expected the one that the previous page returned",
        ),
        (
            ["--after", "AAAAAAAAAAAA-+1"],
            "invalid place in a list: expected the one that the previous page returned",
        ),
    ] {
        let listed = shell.run(&[&["list"], &arguments[..]].concat());
        assert_eq!(listed, failed(2, line), "{arguments:?}");
    }
    let (key, _) = shell.mint(&["issue", "--subject", "alice"]);
    let listed = shell.run(&["list", "--id-prefix", &key]);
    assert_eq!((listed.code, listed.stdout.as_str()), (2, ""));
    assert!(!listed.stderr.contains(&key), "{listed:?}");
    let state = shell.run(&["list", "--state", "dead"]);
    assert_eq!(state.code, 2, "{state:?}");
    let _: Value = shell.run(&["list", "--json"]).json();
}
