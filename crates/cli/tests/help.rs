//! The output of `--help`, and that it is true.

use std::collections::BTreeSet;
use std::fs;

use super::{Ran, Shell};
use tower_api_key_test_support::support::IMPORTED;

const COMMANDS: [&str; 22] = [
    "issue",
    "mint",
    "rotate",
    "regrant",
    "narrow",
    "describe",
    "revoke",
    "list",
    "audit",
    "show",
    "history",
    "import",
    "check",
    "pattern",
    "migrate",
    "staleness",
    "purge",
    "backup",
    "restore",
    "copy",
    "completions",
    "man",
];

/// Commands that do not use these options.
const IDLE: [(&str, &[&str]); 8] = [
    ("--store", &["mint", "pattern", "completions", "man"]),
    (
        "--prefix",
        &[
            "migrate",
            "staleness",
            "backup",
            "restore",
            "copy",
            "completions",
            "man",
        ],
    ),
    (
        "--realm",
        &[
            "pattern",
            "migrate",
            "staleness",
            "backup",
            "restore",
            "completions",
            "man",
        ],
    ),
    (
        "--pepper",
        &[
            "list",
            "audit",
            "purge",
            "pattern",
            "migrate",
            "staleness",
            "backup",
            "restore",
            "copy",
            "completions",
            "man",
        ],
    ),
    ("--json", &["completions", "man"]),
    ("--max-grace", &["issue", "mint", "regrant", "import"]),
    ("--max-keys-per-subject", &["mint", "rotate"]),
    ("--max-lifetime", &[]),
];

fn help(shell: &Shell, command: &str, columns: &str) -> String {
    let mut help = shell.command(&[command, "--help"]);
    help.env("COLUMNS", columns);
    let ran = Ran::of(help.output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout
}

/// The options that are described, not only mentioned.
fn options(help: &str) -> BTreeSet<String> {
    let words = help
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let options = words.filter(|word| word.starts_with("--"));
    options.map(ToOwned::to_owned).collect()
}

#[test]
fn help_has_no_option_that_does_nothing_and_fits_the_terminal() {
    let shell = Shell::without_store();
    let program = help(&shell, "--version", "80");
    let listed = shell.run(&["--help"]).stdout;
    assert!(program.starts_with("tower-api-key "));
    let policy = ["--max-grace", "--max-keys-per-subject", "--max-lifetime"];
    let with_policy = ["issue", "mint", "rotate", "regrant", "import"];
    for command in COMMANDS {
        assert!(listed.contains(&format!("\n  {command} ")), "{command}");
        let wide = help(&shell, command, "200");
        let options = options(&wide);
        for (option, idle) in IDLE {
            let is_due = !idle.contains(&command)
                && (!policy.contains(&option) || with_policy.contains(&command));
            assert_eq!(options.contains(option), is_due, "{command} {option}");
        }
        for columns in [60, 80, 200] {
            let help = help(&shell, command, &columns.to_string());
            // Text that is not a sentence is not wrapped.
            let start = help.find("\nExample").unwrap();
            for line in help[..start].lines() {
                let has_usage = line.starts_with("Usage: ");
                assert!(has_usage || line.len() <= columns.min(100), "{line}");
            }
        }
    }
    for line in listed.lines() {
        assert!(line.len() <= 100, "{line}");
    }
}

#[test]
fn every_command_has_an_example_that_runs() {
    let mut count = 0;
    for command in COMMANDS {
        let help = help(&Shell::without_store(), command, "80");
        let (_, examples) = help.split_once("\nExample").unwrap();
        for example in examples.lines().skip(1).filter(|line| !line.is_empty()) {
            let shell = Shell::new();
            let (key, id) = shell.mint(&[
                "issue",
                "--subject",
                "alice",
                "--scope",
                "orders:read",
                "--scope",
                "orders:write",
            ]);
            let write = |name: &str, text: &str| {
                fs::write(shell.folder.path().join(name), text).unwrap();
            };
            write("leaked.txt", &format!("found: {key}\n"));
            write("old-key.txt", &format!("{IMPORTED}\n"));
            let batch = format!("key\tkind\tsubject\n{IMPORTED}\tplaintext\tcarol\n");
            write("old-keys.tsv", &batch);
            if command == "restore" {
                let kept = shell.run(&["backup", "keys-of-today.db"]);
                assert_eq!(kept.code, 0, "{kept:?}");
            }
            if command == "copy" {
                let made = shell.run(&["migrate", "--store", "sqlite:copy.db"]);
                assert_eq!(made.code, 0, "{made:?}");
            }
            let example = example.trim().replace("0123456789Ab", &id);
            let ran = shell.type_in(&format!("KEY={key}; {example}"));
            assert_eq!(ran.code, 0, "{example} {ran:?}");
            count += 1;
        }
    }
    assert!(count >= COMMANDS.len());
}

/// An operator's script states once what the ring of the service allows.
#[test]
fn every_flag_of_a_policy_has_a_variable() {
    let shell = Shell::new();
    let run = |variable: (&str, &str), arguments: &[&str]| {
        let mut command = shell.command(arguments);
        command.env(variable.0, variable.1);
        Ran::of(command.output().unwrap())
    };
    let (key, id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    let issue = ["issue", "--subject", "alice", "--scope", "write"];
    for (variable, arguments, accepted, refused) in [
        (
            "TOWER_API_KEY_MAX_LIFETIME",
            &["issue", "--subject", "a", "--expires-in", "100d"][..],
            "100d",
            "99d",
        ),
        (
            "TOWER_API_KEY_MAX_LIFETIME",
            &["issue", "--subject", "a", "--never-expires"],
            "unlimited",
            "99d",
        ),
        (
            "TOWER_API_KEY_GRANTABLE_SCOPES",
            &issue,
            "read write",
            "read",
        ),
        ("TOWER_API_KEY_MAX_KEYS_PER_SUBJECT", &issue, "9", "1"),
        (
            "TOWER_API_KEY_MAX_GRACE",
            &["rotate", &id, "--grace", "25h"],
            "25h",
            "1h",
        ),
    ] {
        let too_much = run((variable, refused), arguments);
        assert_eq!(too_much.code, 1, "{variable} {too_much:?}");
        let enough = run((variable, accepted), arguments);
        assert_eq!(enough.code, 0, "{variable} {enough:?}");
    }
    shell.run(&["revoke", &id]);
    let purged = run(("TOWER_API_KEY_RETENTION", "0s"), &["purge", "--json"]);
    assert_eq!(purged.json()["removed"], 1);
    let _ = key;

    let imported = shell.feed(
        IMPORTED,
        &["import", "--subject", "carol", "--expires-in", "1d"],
    );
    assert_eq!(imported.code, 0);
    fs::write(shell.folder.path().join("key"), IMPORTED).unwrap();
    let check = |line: &str| shell.type_in(line).code;
    assert_eq!(check("tower-api-key check < key"), 1);
    assert_eq!(
        check("TOWER_API_KEY_ACCEPT_IMPORTS=true tower-api-key check < key"),
        0
    );
    assert_eq!(
        check("TOWER_API_KEY_ACCEPT_IMPORTS=false tower-api-key check < key"),
        1
    );

    let pepper = ("TOWER_API_KEY_PEPPER", "1=file:pepper");
    fs::write(
        shell.folder.path().join("pepper"),
        "0123456789abcdef0123456789abcdef",
    )
    .unwrap();
    let issued = run(pepper, &["issue", "--subject", "dave", "--json"]);
    assert_eq!(issued.json()["record"]["pepper_version"], 1);
    fs::write(
        shell.folder.path().join("key"),
        issued.json()["key"].as_str().unwrap(),
    )
    .unwrap();
    fs::write(
        shell.folder.path().join("newer"),
        "fedcba9876543210fedcba9876543210",
    )
    .unwrap();
    let newer = "TOWER_API_KEY_PEPPER=2=file:newer";
    assert_eq!(check(&format!("{newer} tower-api-key check < key")), 1);
    let earlier = "TOWER_API_KEY_EARLIER_PEPPERS='1=file:pepper;3=file:leaked'";
    fs::write(
        shell.folder.path().join("leaked"),
        "00000000000000000000000000000000",
    )
    .unwrap();
    assert_eq!(
        check(&format!("{newer} {earlier} tower-api-key check < key")),
        0
    );
}

#[test]
fn r36_the_environment_is_not_shown_by_help() {
    let shell = Shell::without_store();
    for command in COMMANDS {
        let mut help = shell.command(&[command, "--help"]);
        for name in [
            "STORE",
            "PREFIX",
            "REALM",
            "PEPPER",
            "EARLIER_PEPPERS",
            "LONGEST_LIFETIME",
            "LONGEST_GRACE",
            "GRANTABLE_SCOPES",
            "RETENTION",
            "ACCEPT_IMPORTS",
        ] {
            help.env(format!("TOWER_API_KEY_{name}"), "\u{1b}[2Jhunter2");
        }
        let ran = Ran::of(help.output().unwrap());
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            !shown.contains("hunter2") && !shown.contains('\u{1b}'),
            "{shown}"
        );
        assert_eq!(ran.code, 0);
    }
}
