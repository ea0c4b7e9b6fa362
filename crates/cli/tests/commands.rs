//! The effect of each command if all goes well.

use serde_json::json;
use tower_api_key::Timestamp;

use super::{Shell, failed, ran};
use tower_api_key_test_support::support::IMPORTED;

const DETAILS: &str = "\
id          ALICE
prefix      acme
realm       orders
subject     alice
scopes      read write
state       live
issued      TIME
valid from  TIME
expires     TIME
lineage     ALICE, generation 0
label       my laptop
metadata    team=a
";

const ALICE: [&str; 11] = [
    "issue",
    "--subject",
    "alice",
    "--scope",
    "write",
    "--scope",
    "read",
    "--label",
    "my laptop",
    "--metadata",
    "team=a",
];

#[test]
fn issue_writes_the_key_alone_to_standard_output() {
    let shell = Shell::new();
    let issued = shell.run(&ALICE);
    let key = issued.stdout.trim_end().to_owned();
    let id = &key[5..17];
    assert_eq!(key.len(), 50);
    assert_eq!(issued.stdout, format!("{key}\n"));
    assert_eq!(issued.named(&[(id, "ALICE")]).stderr, DETAILS);
    let shown = shell.run(&["show", id]);
    let changed = format!("{DETAILS}changed     TIME, added by ops@example.com\n");
    assert_eq!(shown.named(&[(id, "ALICE")]), ran(0, &changed, ""));

    let issued = shell.run(&["issue", "--subject", "bob", "--json", "--expires-in", "1h"]);
    assert_eq!((issued.code, issued.stderr.as_str()), (0, ""));
    let value = issued.json();
    let key = value["key"].as_str().unwrap();
    let mut record = value["record"].clone();
    let issued_at = record["issued_at"].take();
    let issued_at = Timestamp::from_rfc3339(issued_at.as_str().unwrap()).unwrap();
    let expires_at = record["expires_at"].take();
    let expires_at = Timestamp::from_rfc3339(expires_at.as_str().unwrap()).unwrap();
    assert_eq!(expires_at.as_unix(), issued_at.as_unix() + 3600);
    let not_before = record["not_before"].take();
    assert_eq!(not_before, issued_at.to_rfc3339());
    assert_eq!(
        record,
        json!({
            "id": &key[5..17], "prefix": "acme", "realm": "orders", "subject": "bob", "scopes": [],
            "caveats": [], "state": "live",
            "issued_at": null, "not_before": null, "expires_at": null, "grace_ends_at": null,
            "revoked_at": null, "revocation_reason": null, "lineage": &key[5..17],
            "generation": 0, "version": 1, "pepper_version": null, "label": null, "metadata": {},
            "last_used": null,
        })
    );
    assert_eq!(shell.verdict(key), "accepted");
}

#[test]
fn the_end_of_a_key_is_a_duration_or_a_moment_or_never() {
    let shell = Shell::new();
    for (arguments, shown) in [
        (
            &["--expires-at", "2100-01-01T00:00:00Z"][..],
            "2100-01-01T00:00:00Z",
        ),
        (&["--expires-at", "4102444800"], "2100-01-01T00:00:00Z"),
        (&["--never-expires"], "never"),
    ] {
        let start = ["issue", "--subject", "a", "--max-lifetime", "unlimited"];
        let issued = shell.run(&[&start, arguments].concat());
        assert_eq!(issued.code, 0, "{issued:?}");
        let line = format!("expires     {shown}\n");
        assert!(issued.stderr.contains(&line), "{issued:?}");
    }
    let later = [
        "issue",
        "--subject",
        "a",
        "--not-before",
        "2026-01-01T00:00:00Z",
    ];
    assert_eq!(shell.run(&later).code, 0, "its beginning may lie behind");
}

#[test]
fn a_key_lives_from_issue_over_rotation_to_revocation() {
    let shell = Shell::new();
    let (first, first_id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    assert_eq!(shell.verdict(&first), "accepted");

    let (second, second_id) = shell.mint(&["rotate", &first_id, "--grace", "1h"]);
    assert_eq!(shell.verdict(&first), "accepted");
    assert_eq!(shell.verdict(&second), "accepted");
    let ids = [
        (first_id.as_str(), "THE_FIRST_ID"),
        (&second_id, "THE_SECND_ID"),
    ];
    let listed = shell.run(&["list"]).named(&ids);
    let mut lines: Vec<&str> = listed.stdout.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            "ID            SUBJECT  STATE           ENDS                  LAST USED  SCOPES  LABEL",
            "THE_FIRST_ID  alice    live, in grace  TIME  -          read",
            "THE_SECND_ID  alice    live            TIME  -          read",
        ]
    );

    let (third, third_id) = shell.mint(&["rotate", &second_id, "--now"]);
    assert_eq!(shell.verdict(&first), "revoked", "it was within its grace");
    assert_eq!(shell.verdict(&second), "replaced");
    assert_eq!(shell.verdict(&third), "accepted");

    let (fourth, fourth_id) =
        shell.mint(&["regrant", &third_id, "--scope", "read", "--scope", "write"]);
    assert_eq!(shell.verdict(&third), "replaced");
    let met = shell.feed(
        &fourth,
        &["check", "--require", "read", "--require", "write"],
    );
    assert_eq!(met.code, 0);

    let narrowed = shell.run(&["narrow", &fourth_id, "--scope", "read"]);
    let line = format!("{fourth_id} has the scopes read\n");
    assert_eq!(narrowed, ran(0, &line, ""));
    let unmet = shell.feed(&fourth, &["check", "--require", "write"]);
    assert_eq!(unmet.code, 1);

    let describe = [
        "describe",
        &fourth_id,
        "--label",
        "desk",
        "--metadata",
        "team=b=c",
    ];
    let line = format!("{fourth_id} is described; its authority is as before\n");
    assert_eq!(shell.run(&describe), ran(0, &line, ""));
    let shown = shell.run(&["show", &fourth_id, "--json"]).json();
    assert_eq!(
        (&shown["label"], &shown["metadata"], &shown["scopes"]),
        (&json!("desk"), &json!({ "team": "b=c" }), &json!(["read"]))
    );
    let clear = ["describe", &fourth_id, "--no-label", "--json"];
    let record = &shell.run(&clear).json()["record"];
    assert_eq!(
        (&record["label"], &record["metadata"]),
        (&json!(null), &json!({ "team": "b=c" }))
    );
    let clear = ["describe", &fourth_id, "--no-metadata", "--json"];
    let record = &shell.run(&clear).json()["record"];
    assert_eq!(record["metadata"], json!({}));
    assert_eq!(shell.verdict(&fourth), "accepted");

    let revoked = shell.run(&["revoke", &fourth_id, "--reason", "key_compromise"]);
    assert_eq!(revoked, ran(0, &format!("{fourth_id} is revoked\n"), ""));
    assert_eq!(shell.verdict(&fourth), "revoked");
    let again = shell.run(&["revoke", &fourth_id]);
    assert_eq!(
        again,
        ran(0, &format!("{fourth_id} was already revoked\n"), "")
    );
    let shown = shell.run(&["show", &fourth_id, "--json"]).json();
    assert_eq!(shown["revocation_reason"], "key_compromise");
    assert_eq!(shown["generation"], 3);
    assert_eq!(shown["lineage"], first_id);
    assert_eq!(shown["last_used"], json!(null));
}

#[test]
fn a_lineage_and_a_subject_are_revoked_whole() {
    let shell = Shell::new();
    let (first, first_id) = shell.mint(&["issue", "--subject", "alice"]);
    let (second, _) = shell.mint(&["rotate", &first_id]);
    let (other, _) = shell.mint(&["issue", "--subject", "alice"]);
    let (third, _) = shell.mint(&["issue", "--subject", "alice"]);
    let (bob, bob_id) = shell.mint(&["issue", "--subject", "bob"]);
    let revoked = shell.run(&["revoke", "--lineage", &first_id]);
    assert_eq!(revoked, ran(0, "2 keys of the lineage revoked\n", ""));
    for key in [&first, &second] {
        assert_ne!(shell.verdict(key), "accepted");
    }
    let revoked = shell.run(&["revoke", "--subject", "alice", "--json"]);
    assert_eq!(revoked.json(), json!({"revoked": 2}));
    for key in [&other, &third] {
        assert_eq!(shell.verdict(key), "revoked");
    }
    assert_eq!(shell.verdict(&bob), "accepted");
    let nobody = shell.run(&["revoke", "--subject", "carol"]);
    let line = "no key of this subject in this realm; use list to see the subjects, or --realm to \
                choose another realm";
    assert_eq!(nobody, failed(3, line));
    let again = shell.run(&["revoke", "--subject", "alice"]);
    let line = "every key of the subject was already revoked\n";
    assert_eq!(again, ran(0, line, ""));

    let subject = shell.run(&["list", "--subject", "bob", "--json"]).json();
    assert_eq!(subject[0]["id"], bob_id);
    assert_eq!(subject.as_array().unwrap().len(), 1);
    let lineage = shell.run(&["list", "--lineage", &first_id, "--json"]);
    assert_eq!(lineage.json().as_array().unwrap().len(), 2);
    let unrevoked = shell.run(&["list", "--unrevoked", "--json"]);
    assert_eq!(unrevoked.json().as_array().unwrap().len(), 1);
    let limited = shell.run(&["list", "--limit", "2", "--json"]);
    assert_eq!(limited.json().as_array().unwrap().len(), 2);
    let none = shell.run(&["list", "--subject", "carol"]);
    assert_eq!(none, ran(0, "", "no keys\n"));
    let none = shell.run(&["list", "--subject", "carol", "--json"]);
    assert_eq!(none, ran(0, "[]\n", ""));
}

#[test]
fn check_says_what_a_key_is() {
    let shell = Shell::new();
    let (key, id) = shell.mint(&ALICE);
    let ids = [(id.as_str(), "ALICE")];
    let arguments = [
        "check",
        "--require",
        "read",
        "--require-any",
        "a",
        "--require-any",
        "write",
    ];
    let checked = shell.feed(&key, &arguments).named(&ids);
    let head = "shape     well-formed, prefix acme\nknown     yes\n\
                requires  read and (a or write)\nmet       yes\nverdict   accepted\n\n";
    assert_eq!(checked, ran(0, &format!("{head}{DETAILS}"), ""));

    let stranger = Shell::new();
    let checked = stranger.feed(&key, &["check"]).named(&ids);
    assert_eq!(
        checked,
        ran(
            1,
            "shape      well-formed, prefix acme\nknown      no\nclaims id  ALICE\n\
             verdict    refused: unknown\n",
            "tower-api-key: the key is not accepted: unknown\n"
        )
    );
    let checked = shell.feed("nonsense", &["check"]);
    assert_eq!(
        checked,
        ran(
            1,
            "shape    not well-formed as a key with the prefix acme\nknown    no\nverdict  \
             refused: malformed\n",
            "tower-api-key: the key is not accepted: malformed\n"
        )
    );
    let checked = shell.feed(&key, &["check", "--realm", "billing", "--json"]);
    assert_eq!(
        checked.json(),
        json!({
            "accepted": false, "cause": "unknown", "well_formed": true, "prefix": "acme", "id": id,
            "known": false, "required": null, "requirement_met": null, "record": null,
        })
    );
}

#[test]
fn import_brings_in_a_key_from_standard_input_or_its_digest() {
    let shell = Shell::new();
    let imported = shell.feed(
        IMPORTED,
        &[
            "import",
            "--subject",
            "carol",
            "--expires-in",
            "90d",
            "--json",
        ],
    );
    assert_eq!((imported.code, imported.stderr.as_str()), (0, ""));
    assert_eq!(imported.json()["record"]["subject"], "carol");
    let checked = shell.feed(IMPORTED, &["check", "--accept-imports"]);
    assert_eq!(checked.code, 0);
    assert_eq!(shell.verdict(IMPORTED), "malformed");

    // The SHA-256 of "test", which is weak, but a digest does not show that.
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let imported = shell.run(&[
        "import",
        "--subject",
        "dave",
        "--expires-in",
        "1d",
        "--digest",
        digest,
    ]);
    assert_eq!(imported.code, 0, "{imported:?}");
    assert_eq!(shell.feed("test", &["check", "--accept-imports"]).code, 0);
    let weak = shell.feed(
        "weak",
        &[
            "import",
            "--subject",
            "dave",
            "--expires-in",
            "1d",
            "--insecure",
        ],
    );
    assert_eq!(weak.code, 0, "{weak:?}");
}

#[test]
fn a_pepper_comes_from_the_environment_or_a_file() {
    let shell = Shell::new();
    let path = shell.folder.path().join("pepper");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    let from_file = format!("7=file:{}", path.display());
    let (key, id) = shell.mint(&["issue", "--subject", "alice", "--pepper", &from_file]);
    assert_eq!(shell.verdict(&key), "unknown");
    let mut shown = shell.run(&["show", &id, "--json"]).json();
    assert_eq!(shown["pepper_version"].take(), 7);

    let feed = |arguments: &[&str]| {
        let mut command = shell.command(&[&["check"], arguments].concat());
        command.env("PEPPER", "0123456789abcdef0123456789abcdef");
        command.env("NEWER", "fedcba9876543210fedcba9876543210");
        let path = shell.folder.path().join("key");
        std::fs::write(&path, &key).unwrap();
        command.stdin(std::fs::File::open(&path).unwrap());
        command.output().unwrap().status.code()
    };
    assert_eq!(feed(&["--pepper", "7=env:PEPPER"]), Some(0));
    assert_eq!(feed(&["--pepper", "8=env:NEWER"]), Some(1));
    let both = [
        "--pepper",
        "8=env:NEWER",
        "--earlier-pepper",
        "7=env:PEPPER",
    ];
    assert_eq!(feed(&both), Some(0));
}

#[test]
fn the_others_say_what_they_did() {
    let shell = Shell::new();
    let pattern = "acme_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}";
    assert_eq!(shell.run(&["pattern"]), ran(0, &format!("{pattern}\n"), ""));
    let as_json = shell.run(&["pattern", "--json"]);
    assert_eq!(as_json.json(), json!({ "pattern": pattern }));

    let (_, id) = shell.mint(&["issue", "--subject", "alice"]);
    shell.run(&["revoke", &id]);
    assert_eq!(shell.run(&["purge"]), ran(0, "0 keys removed\n", ""));
    let purged = shell.run(&["purge", "--retention", "0s", "--json"]);
    assert_eq!(purged.json(), json!({"removed": 1}));
    assert_eq!(
        shell.run(&["list"]),
        ran(0, "", "no keys in the realm orders\n")
    );

    let again = shell.run(&["migrate", "--json"]);
    assert_eq!(again.json(), json!({"migrated": true}));

    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = shell.run(&["completions", name]);
        assert_eq!((script.code, script.stderr.as_str()), (0, ""));
        assert!(script.stdout.contains("narrow"), "{name}");
    }
    let page = shell.run(&["man"]);
    assert_eq!((page.code, page.stderr.as_str()), (0, ""));
    assert!(
        page.stdout.contains(".TH tower-api-key 1"),
        "{}",
        page.stdout
    );
    assert!(page.stdout.contains("Exit codes"), "{}", page.stdout);
    let page = shell.run(&["man", "rotate"]);
    assert!(page.stdout.contains("\\-\\-grace"), "{}", page.stdout);
    let version = format!("tower-api-key {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(shell.run(&["--version"]), ran(0, &version, ""));
    let help = shell.run(&["--help"]);
    assert!(
        help.stdout
            .contains("  3  the realm has no such key, or the subject has no key\n")
    );
    assert!(help.stderr.is_empty());
}

#[test]
fn a_keys_file_is_read() {
    let mut shell = Shell::new();
    let (key, id) = shell.mint(&["issue", "--subject", "alice"]);
    let digest = shell.sha256(&key);
    let path = shell.folder.path().join("keys.toml");
    let text = format!(
        "[[keys]]\nrealm = \"orders\"\ndigest = \"{digest}\"\nid = \"{id}\"\nsubject = \"alice\"\n\
         scopes = []\nnever_expires = true\n"
    );
    std::fs::write(&path, text).unwrap();
    shell.store = format!("file:{}", path.display());
    assert_eq!(shell.verdict(&key), "accepted");
    let listed = shell.run(&["list"]).named(&[(&id, "THE_ALICE_ID")]);
    assert_eq!(
        listed.stdout,
        "ID            SUBJECT  STATE  ENDS   LAST USED  SCOPES  LABEL\n\
         THE_ALICE_ID  alice    live   never  -          -\n"
    );
}

#[test]
fn a_caveat_is_said_shown_added_and_checked() {
    let shell = Shell::new();
    let issue = ["issue", "--subject", "ci", "--caveat", "net=10.0.0.0/8"];
    let (key, id) = shell.mint(&issue);
    let shown = shell.run(&["show", &id]);
    let line = "caveats     net=10.0.0.0/8\n";
    assert!(shown.stdout.contains(line), "{}", shown.stdout);
    assert_eq!(shell.verdict(&key), "caveat_not_met");
    let check = |facts: &[&str]| shell.feed(&key, &[&["check"], facts].concat()).code;
    assert_eq!(check(&["--client-address", "10.1.2.3"]), 0);
    assert_eq!(check(&["--client-address", "::ffff:10.1.2.3"]), 0);
    assert_eq!(check(&["--client-address", "11.1.2.3"]), 1);

    let thumbprint = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
    let caveat = format!("cnf=x5t#S256:{thumbprint}");
    let narrowed = shell.run(&["narrow", &id, "--caveat", &caveat]);
    let line = format!("{id} has the scopes  and the caveats {caveat} net=10.0.0.0/8\n");
    assert_eq!(
        narrowed,
        ran(0, &line.replace("scopes  and", "scopes none and"), "")
    );
    assert_eq!(check(&["--client-address", "10.1.2.3"]), 1);
    let facts = [
        "--client-address",
        "10.1.2.3",
        "--client-certificate",
        thumbprint,
    ];
    assert_eq!(check(&facts), 0);

    let (rotated, rotated_id) = shell.mint(&["rotate", &id, "--now"]);
    assert_eq!(shell.verdict(&rotated), "caveat_not_met");
    let json = shell.run(&["show", &rotated_id, "--json"]).json();
    assert_eq!(json["caveats"], json!([caveat, "net=10.0.0.0/8"]));

    let unknown = shell.run(&["issue", "--subject", "ci", "--caveat", "moon=full"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(
        unknown.stderr.contains("invalid caveat: expected net="),
        "{unknown:?}"
    );

    // In rows of an import, and in a keys file.
    let row = json!({
        "kind": "sha256-hex", "key": shell.sha256("a key of another system"), "subject": "ci",
        "caveats": ["net=10.0.0.0/8"], "expires_at": "never",
    });
    let import = [
        "import",
        "--batch",
        "-",
        "--format",
        "ndjson",
        "--max-lifetime",
        "unlimited",
    ];
    let imported = shell.feed(&row.to_string(), &import);
    assert_eq!(imported.code, 0, "{imported:?}");
    let listed = shell.run(&["list", "--subject", "ci", "--state", "live", "--json"]);
    let listed = listed.json();
    let keys = listed.as_array().unwrap();
    assert!(
        keys.iter()
            .any(|key| key["caveats"] == json!(["net=10.0.0.0/8"])),
        "{keys:?}"
    );
    let minted = shell.run(&["mint", "--subject", "ci", "--caveat", "net=10.0.0.1"]);
    let line = "caveats = [\"net=10.0.0.1/32\"]\n";
    assert!(minted.stderr.contains(line), "{minted:?}");
}

#[test]
fn mint_writes_the_entry_of_a_keys_file() {
    let mut shell = Shell::without_store();
    shell.store = "file:keys.toml".to_owned();
    let arguments = [
        "mint",
        "--subject",
        "al\"ice",
        "--scope",
        "read",
        "--label",
        "my laptop",
        "--metadata",
        "cost centre=\u{7f}7",
        "--metadata",
        "team=a",
        "--expires-in",
        "1h",
    ];
    let minted = shell.run(&arguments);
    let key = minted.stdout.trim_end().to_owned();
    assert_eq!(minted.stdout, format!("{key}\n"));
    std::fs::write(shell.folder.path().join("keys.toml"), &minted.stderr).unwrap();
    let digest = shell.sha256(&key);
    let names = [(&key[5..17], "THE_ALICE_ID"), (&digest, "DIGEST")];
    assert_eq!(
        super::named(&minted.stderr, &names),
        "[[keys]]\ndigest = \"DIGEST\"\nid = \"THE_ALICE_ID\"\nrealm = \"orders\"\n\
         subject = \"al\\\"ice\"\nscopes = [\"read\"]\nnot_before = \"TIME\"\n\
         expires_at = \"TIME\"\nlabel = \"my laptop\"\n\
         metadata = { \"cost centre\" = \"\\u007f7\", \"team\" = \"a\" }\n"
    );
    assert_eq!(shell.verdict(&key), "accepted");
    let shown = shell.run(&["show", &key[5..17], "--json"]).json();
    assert_eq!(shown["subject"], "al\"ice");
    assert_eq!(shown["metadata"]["cost centre"], "\u{7f}7");

    let minted = shell.run(&["mint", "--subject", "bob", "--json"]);
    assert_eq!((minted.code, minted.stderr.as_str()), (0, ""));
    let value = minted.json();
    let file = json!({"keys": [value["entry"]]}).to_string();
    std::fs::write(shell.folder.path().join("keys.json"), file).unwrap();
    shell.store = "file:keys.json".to_owned();
    assert_eq!(shell.verdict(value["key"].as_str().unwrap()), "accepted");
}

impl Shell {
    pub(super) fn sha256(&self, key: &str) -> String {
        let path = self.folder.path().join("key");
        std::fs::write(&path, key).unwrap();
        let output = std::process::Command::new("sha256sum").arg(path).output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        output.split(' ').next().unwrap().to_owned()
    }
}

#[test]
fn a_store_has_a_staleness_and_a_keys_file_has_none() {
    let shell = Shell::new();
    assert_eq!(shell.run(&["migrate"]).code, 0);
    assert_eq!(shell.run(&["staleness"]), ran(0, "1s\n", ""));
    let set = shell.run(&["staleness", "--set", "250ms"]);
    assert_eq!(set, ran(0, "250ms\n", ""));
    assert_eq!(shell.run(&["staleness"]), ran(0, "250ms\n", ""));
    let refused = shell.run(&["staleness", "--store", "file:keys.txt"]);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (2, ""),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("a keys file has no staleness"),
        "{refused:?}"
    );
}

/// With the command line alone: a store of the first schema, and rows that are not valid records.
#[test]
fn r32_a_store_of_the_first_schema_is_migrated_and_its_unreadable_keys_are_revoked() {
    let shell = Shell::without_store();
    let path = shell.folder.keys();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let schema = include_str!("../../sqlite-schema/src/schema_1.sql");
    connection.execute_batch(schema).unwrap();
    let row = |id: &str, metadata: &str| {
        format!(
            "INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, \
             lineage, generation, version, metadata) VALUES ('{id}', 'orders', randomblob(32), \
             'alice', 'read', 1, 1, '{id}', 0, 9223372036854775807, '{metadata}');"
        )
    };
    let rows = [
        row("AAAAAAAAAAAA", r#"{"a":1}"#),
        row("BBBBBBBBBBBB", "{}"),
        row("CCCCCCCCCCCC", r#"{"a":1}"#),
    ];
    connection.execute_batch(&rows.concat()).unwrap();
    let mark = "PRAGMA application_id = 0x544b4559; PRAGMA user_version = 1;";
    connection.execute_batch(mark).unwrap();

    let listed = shell.run(&["list"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (5, ""), "{listed:?}");
    let advice = "its schema has version 1, and this crate reads 12; migrate the store first";
    assert!(listed.stderr.contains(advice), "{listed:?}");
    assert_eq!(shell.run(&["migrate"]), ran(0, "the store is ready\n", ""));
    let listed = shell.run(&["list"]).named(&[]);
    let table = "ID            SUBJECT  STATE  ENDS   LAST USED  SCOPES  LABEL\n\
                 BBBBBBBBBBBB  alice    live   never  -          read\n";
    let unreadable = |id: &str| {
        format!(
            "tower-api-key: warning: the store is damaged: the record of the key {id} cannot be read; revoke \
             the key, or restore the record: the column metadata cannot hold or be this value: \
             invalid type: integer `1`, expected a string at line 1 column 6\n"
        )
    };
    let said = format!(
        "{}{}tower-api-key: 2 records cannot be read, and are not in the list\n",
        unreadable("AAAAAAAAAAAA"),
        unreadable("CCCCCCCCCCCC"),
    );
    assert_eq!(listed, ran(5, table, &said));
    let listed = shell.run(&["list", "--json"]);
    let remarks: Vec<serde_json::Value> = listed
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids = ["AAAAAAAAAAAA", "CCCCCCCCCCCC"];
    for (remark, id) in remarks.iter().zip(ids) {
        assert!(remark["warning"].as_str().unwrap().contains(id), "{remark}");
    }
    let message = "2 records cannot be read, and are not in the list";
    assert_eq!(remarks[2]["error"]["message"], message);
    assert_eq!((listed.code, remarks.len()), (5, 3));
    assert_eq!(listed.json()[0]["id"], "BBBBBBBBBBBB");
    assert_eq!(listed.json().as_array().unwrap().len(), 1);

    let revoked = shell.run(&["revoke", "AAAAAAAAAAAA"]);
    let unknown = "tower-api-key: warning: the lineage of the key cannot be read; other keys of it \
                   may still work\n";
    assert_eq!(revoked, ran(0, "AAAAAAAAAAAA is revoked\n", unknown));
    let revoked = shell.run(&["revoke", "--lineage", "BBBBBBBBBBBB"]);
    assert_eq!(revoked, ran(0, "1 key of the lineage revoked\n", ""));
    let revoked = shell.run(&["revoke", "--subject", "alice"]);
    assert_eq!(revoked, ran(0, "1 key of the subject revoked\n", ""));
    assert_eq!(shell.run(&["list", "--unrevoked"]), ran(0, "", "no keys\n"));
}
