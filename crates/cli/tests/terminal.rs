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
            [
                "describe",
                "0123456789Ab",
                "--no-metadata",
                "--label",
                &text,
            ],
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

    let write = |column: &str, value: &str| {
        // Not through this program: the database is opened, and its rules are removed.
        let database = Connection::open(shell.folder.path().join("keys.db")).unwrap();
        tower_api_key_test_support::sqlite::unguarded(&database, || {
            let statement = format!("UPDATE api_keys SET {column} = ?1");
            assert_eq!(database.execute(&statement, [value]).unwrap(), 1);
        });
    };
    write("metadata", &serde_json::json!({ "note": text }).to_string());

    let shown =
        r"=\u{1b}[2J\u{7}\u{d}\u{a}\u{9}\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{2028}\u{e0041}";
    let commands = [
        (vec!["list"], None),
        (vec!["list", "--json"], None),
        (vec!["show", id], None),
        (vec!["show", id, "--json"], None),
        (vec!["check"], Some(&key)),
        (vec!["check", "--json"], Some(&key)),
        (vec!["narrow", id, "--scope", "a"], None),
        (vec!["narrow", id, "--scope", "a", "--json"], None),
        (vec!["describe", id, "--label", "a"], None),
        (vec!["describe", id, "--label", "b", "--json"], None),
        (vec!["revoke", id], None),
        (vec!["revoke", id, "--json"], None),
    ];
    let run = |arguments: &[&str], input: Option<&String>| match input {
        Some(key) => shell.feed(key, arguments),
        None => shell.run(arguments),
    };
    for (arguments, input) in &commands {
        let ran = run(arguments, *input);
        assert_eq!(ran.code, 0, "{arguments:?} {ran:?}");
        assert_shown(&ran);
        if arguments.contains(&"--json") && ran.stdout.contains("metadata") {
            let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            let mut records = [&value[0], &value, &value["record"]].into_iter();
            let record = records.find(|record| record["metadata"].is_object());
            let note = &record.unwrap()["metadata"]["note"];
            assert_eq!(*note, text, "an escape means the same");
        } else if arguments[0] == "show" {
            assert!(ran.stdout.contains(shown), "{ran:?}");
        }
    }

    // A record with such a subject or label is not read, and its text is not shown. It can be revoked.
    for column in ["subject", "label"] {
        write("metadata", "{}");
        write("subject", "alice");
        write("label", "laptop");
        write(column, &text);
        for (arguments, input) in &commands {
            let ran = run(arguments, *input);
            let code = if arguments[0] == "revoke" { 0 } else { 5 };
            assert_eq!(ran.code, code, "{arguments:?} {ran:?}");
            assert_shown(&ran);
            assert!(!ran.stdout.contains(shown), "{ran:?}");
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
