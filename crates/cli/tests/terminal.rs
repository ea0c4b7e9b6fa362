//! Text from a store does not reach the terminal as a control sequence.

use rusqlite::Connection;

use super::{Ran, Shell, failed};

/// C0, C1, DEL, format and bidirectional characters, line separators, and characters that begin a
/// formula in a spreadsheet.
const OBEYED: [&str; 12] = [
    "\u{1b}[2J",
    "\u{7}",
    "\r",
    "\n",
    "\t",
    "\u{7f}",
    "\u{9b}31m",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{2028}",
    "\u{e0041}",
];

#[track_caller]
fn assert_shown(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        for obeyed in OBEYED {
            let first = obeyed.chars().next().unwrap();
            let harmless = first == '\n';
            assert!(harmless || !text.contains(first), "{obeyed:?} in {text:?}");
        }
    }
}

#[test]
fn r36_subjects_and_labels_that_are_obeyed_are_refused() {
    let shell = Shell::new();
    for obeyed in OBEYED.iter().chain(&["=1+1"]) {
        let text = format!("{obeyed}a");
        for arguments in [
            ["issue", "--subject", &text, "--label", "a"],
            ["issue", "--subject", "a", "--label", &text],
            ["mint", "--subject", &text, "--label", "a"],
            ["mint", "--subject", "a", "--label", &text],
        ] {
            let ran = shell.run(&arguments);
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(ran.stderr.starts_with("tower-api-key: invalid "), "{ran:?}");
            assert_shown(&ran);
        }
        let import = ["import", "--subject", &text, "--expires-in", "1d"];
        let ran = shell.feed("0123456789abcdef0123456789ABCDEF", &import);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert_shown(&ran);
        // In an argument that is neither a key, nor an id, nor a duration.
        for arguments in [
            ["show", &text],
            ["rotate", &text],
            ["purge", &text],
            [&text, "list"],
            ["list", &text],
        ] {
            let ran = shell.run(&arguments);
            assert_ne!(ran.code, 0, "{ran:?}");
            assert_shown(&ran);
        }
    }
    assert_eq!(shell.run(&["list"]).stdout, "");
}

#[test]
fn r36_texts_that_other_hands_wrote_are_escaped_by_every_command() {
    let shell = Shell::new();
    let text = format!("={}", OBEYED.concat());
    let metadata = format!("note={text}");
    let issue = [
        "issue",
        "--subject",
        "alice",
        "--scope",
        "a",
        "--metadata",
        &metadata,
    ];
    let issued = shell.run(&issue);
    assert_shown(&issued);
    let key = issued.stdout.trim_end().to_owned();
    let id = &key[5..17];

    // Not through this program: the database is opened, and its rules are removed.
    let database = Connection::open(shell.folder.path().join("keys.db")).unwrap();
    tower_api_key_test_support::sqlite::unguarded(&database, || {
        let written = database.execute("UPDATE api_keys SET subject = ?1, label = ?1", [&text]);
        assert_eq!(written.unwrap(), 1);
    });
    drop(database);

    let shown =
        r"=\u{1b}[2J\u{7}\u{d}\u{a}\u{9}\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{2028}\u{e0041}";
    // At the start of a field a spreadsheet would take `=` for a formula.
    let start = shown.replacen('=', r"\u{3d}", 1);
    for (arguments, input) in [
        (vec!["list"], None),
        (vec!["list", "--json"], None),
        (vec!["show", id], None),
        (vec!["show", id, "--json"], None),
        (vec!["check"], Some(&key)),
        (vec!["check", "--json"], Some(&key)),
        (vec!["narrow", id, "--scope", "a"], None),
        (vec!["narrow", id, "--scope", "a", "--json"], None),
        (vec!["revoke", id], None),
        (vec!["revoke", id, "--json"], None),
    ] {
        let ran = match input {
            Some(key) => shell.feed(key, &arguments),
            None => shell.run(&arguments),
        };
        assert_eq!(ran.code, 0, "{arguments:?} {ran:?}");
        assert_shown(&ran);
        let has_json = arguments.contains(&"--json");
        if has_json && ran.stdout.contains("subject") {
            let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            let records = [&value[0], &value, &value["record"]];
            let record = records
                .into_iter()
                .find(|record| record["subject"].is_string());
            assert_eq!(record.unwrap()["subject"], text, "an escape means the same");
        } else if ["list", "show", "check"].contains(&arguments[0]) {
            assert!(ran.stdout.contains(&start), "{ran:?}");
        }
    }
}

#[test]
fn r36_every_format_character_of_unicode_is_escaped() {
    // Python's standard library knows the general categories.
    let categories = "import sys, unicodedata\n\
         for code in range(0x110000):\n\
         \x20if unicodedata.category(chr(code)) in ('Cc', 'Cf', 'Zl', 'Zp'): print(code)";
    let python = std::process::Command::new("python3")
        .args(["-c", categories])
        .output()
        .expect("python3, which the tests need");
    assert!(python.status.success());
    let codes = String::from_utf8(python.stdout).unwrap();
    let mut count = 0;
    for code in codes.lines() {
        let character = char::from_u32(code.parse().unwrap()).unwrap();
        let escaped = tower_api_key::Escaped(character.encode_utf8(&mut [0; 4])).to_string();
        assert_eq!(escaped, character.escape_unicode().to_string());
        count += 1;
    }
    assert!(count > 200, "{count}");
}

/// Each line of standard error is an object, whatever failed, and contains no control sequence.
#[test]
fn r36_errors_are_json_where_the_output_is() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice"]);
    let text = OBEYED.concat();
    let lost = "sqlite:missing\u{9b}.db";
    for (arguments, code, kind) in [
        (&["rotate", &id, "--grace", "25h"][..], 1, "refused"),
        (&["show", &text], 2, "usage"),
        (&["list", &text], 2, "usage"),
        (&["--bogus"], 2, "usage"),
        (&["issue"], 2, "usage"),
        (&["show", "0123456789Ab"], 3, "not_found"),
        (&["revoke", "--subject", "carol"], 3, "not_found"),
        (&["list", "--store", lost], 5, "store"),
    ] {
        let ran = shell.run(&[arguments, &["--json"]].concat());
        assert_shown(&ran);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!(value["error"]["code"], code);
        assert_eq!(value["error"]["kind"], kind);
        // It has the same content as a line for people.
        let for_people = shell.run(arguments);
        let message = value["error"]["message"].as_str().unwrap();
        assert_eq!(for_people, failed(code, message));
    }
    let (key, _) = shell.mint(&["issue", "--subject", "alice"]);
    let checked = shell.feed(&key, &["check", "--json", "--require", "a,b"]);
    let lines: Vec<serde_json::Value> = checked
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{checked:?}");
    let comma = "a,b is one scope with a comma in its name; for several, write --require a --require \
                 b";
    assert_eq!(lines[0]["warning"], comma);
    let message = "the key is not accepted: insufficient scope";
    assert_eq!(lines[1]["error"]["message"], message);
}

#[test]
fn r36_the_name_of_a_backup_is_escaped() {
    let shell = Shell::new();
    let name = "keys\u{9b}2J\u{202e}.db";
    let ran = shell.run(&["backup", name]);
    assert_shown(&ran);
    assert_eq!(
        ran.stdout,
        "the store is copied to keys\\u{9b}2J\\u{202e}.db\n"
    );
    assert!(shell.folder.path().join(name).exists());
}
