//! The differences between a new key and the old one, and how long the old one works.

use serde_json::json;

use super::{Ran, Shell};

const YEAR: [&str; 6] = [
    "issue",
    "--subject",
    "alice",
    "--expires-in",
    "365d",
    "--max-lifetime",
];

/// The last lines of standard error, after the description of the key.
fn remarks(ran: &Ran) -> String {
    let lines = ran.stderr.lines();
    let lines = lines.skip_while(|line| !line.starts_with("tower-api-key: "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_rotation_that_shortens_says_so_and_how_to_keep_the_lifetime() {
    let shell = Shell::new();
    let endless = ["issue", "--subject", "bob", "--never-expires"];
    let endless = [&endless[..], &["--max-lifetime", "unlimited"]].concat();
    for (issue, longest, had) in [
        (&[&YEAR[..], &["365d"]].concat(), "365d", "had 365d"),
        (&endless, "unlimited", "has no end"),
    ] {
        let (_, id) = shell.mint(issue);
        let rotated = shell.run(&["rotate", &id]).named(&[(&id, "OLD")]);
        let warning = format!(
            "tower-api-key: note: the old key OLD works until TIME\ntower-api-key: warning: the \
             lifetime of the new key is 90d, and the old one {had}; to keep the lifetime at the next \
             rotation, use --max-lifetime {longest} or TOWER_API_KEY_MAX_LIFETIME"
        );
        assert_eq!(remarks(&rotated), warning);
        // The command that it suggests keeps the lifetime.
        let (_, id) = shell.mint(issue);
        let kept = shell.run(&["rotate", &id, "--max-lifetime", longest]);
        let until = "tower-api-key: note: the old key OLD works until TIME";
        assert_eq!(remarks(&kept.named(&[(&id, "OLD")])), until);
        let (_, id) = shell.mint(issue);
        let mut command = shell.command(&["rotate", &id]);
        command.env("TOWER_API_KEY_MAX_LIFETIME", longest);
        let kept = Ran::of(command.output().unwrap());
        assert_eq!(remarks(&kept.named(&[(&id, "OLD")])), until);

        let (_, id) = shell.mint(issue);
        let regranted = shell.run(&["regrant", &id]).named(&[(&id, "OLD")]);
        let warning = format!(
            "tower-api-key: note: the old key OLD no longer works\ntower-api-key: warning: the \
             lifetime of the new key is 90d, and the old one {had}; no expiry was given: use \
             --expires-in or --never-expires, and --max-lifetime {longest} to raise the limit"
        );
        assert_eq!(remarks(&regranted), warning);
        let (_, id) = shell.mint(issue);
        let named = shell.run(&["regrant", &id, "--expires-in", "30d"]);
        let ended = "tower-api-key: note: the old key OLD no longer works";
        assert_eq!(
            remarks(&named.named(&[(&id, "OLD")])),
            ended,
            "it was asked for"
        );
    }
    // In JSON each line of standard error is an object.
    let (_, id) = shell.mint(&[&YEAR[..], &["365d"]].concat());
    let rotated = shell.run(&["rotate", &id, "--json"]);
    let warning: serde_json::Value = serde_json::from_str(&rotated.stderr).unwrap();
    let text = warning["warning"].as_str().unwrap();
    assert!(
        text.starts_with("the lifetime of the new key is 90d, and the old one had 365d;"),
        "{text}"
    );
}

#[test]
fn a_rotation_says_until_when_the_old_key_works() {
    let shell = Shell::new();
    let replaced = |arguments: &[&str]| {
        let (_, id) = shell.mint(&["issue", "--subject", "a", "--expires-in", "2h"]);
        let rotated = shell
            .run(&[&["rotate", &id, "--json"], arguments].concat())
            .json();
        let shown = shell.run(&["show", &id, "--json"]).json();
        assert_eq!(rotated["replaced"]["id"], id.as_str());
        (rotated["replaced"]["grace_ends_at"].clone(), shown)
    };
    let (until, old) = replaced(&["--grace", "1h"]);
    assert!(until.is_string());
    assert_eq!(until, old["grace_ends_at"]);
    // No longer than its own lifetime.
    let (until, old) = replaced(&["--grace", "24h"]);
    assert_eq!(until, old["expires_at"]);
    assert_eq!(until, old["grace_ends_at"]);
    let (until, old) = replaced(&["--now"]);
    assert_eq!((until, &old["state"]), (json!(null), &json!("revoked")));
    let (_, id) = shell.mint(&["issue", "--subject", "a"]);
    let regranted = shell.run(&["regrant", &id, "--json"]).json();
    assert_eq!(
        regranted["replaced"],
        json!({ "id": id, "grace_ends_at": null })
    );
}

#[test]
fn a_revoked_key_names_the_others_of_its_lineage_that_work() {
    let shell = Shell::new();
    let (_, first) = shell.mint(&["issue", "--subject", "alice"]);
    let (_, second) = shell.mint(&["rotate", &first]);
    let revoked = shell.run(&["revoke", &second, "--json"]);
    let others = json!({ "revoked": 1, "still_working": [first] });
    assert_eq!((revoked.json(), revoked.code), (others, 0));
    let warning: serde_json::Value = serde_json::from_str(&revoked.stderr).unwrap();
    let text = warning["warning"].as_str().unwrap();
    assert!(text.starts_with(&format!(
        "the key {first} of the same lineage still works, until "
    )));
    let revoked = shell.run(&["revoke", &first, "--json"]);
    assert_eq!(revoked.json(), json!({ "revoked": 1, "still_working": [] }));
    assert_eq!(revoked.stderr, "");
}
