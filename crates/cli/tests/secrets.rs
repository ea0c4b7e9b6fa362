//! The plaintext is on standard output once, and nowhere else.

use super::{Ran, Shell};
use tower_api_key_test_support::support::IMPORTED;

#[test]
fn r06_the_plaintext_is_on_standard_output_once_and_nowhere_else() {
    let shell = Shell::new();
    let issued = shell.run(&["issue", "--subject", "alice", "--scope", "read"]);
    let key = issued.stdout.trim_end().to_owned();
    assert_eq!(issued.stdout.matches(&key).count(), 1);
    let id = &key[5..17];
    let secret = &key[18..];
    assert!(!issued.stderr.contains(secret));
    let hex = shell.sha256(&key);

    let mut everything = vec![
        shell.run(&["list"]),
        shell.run(&["list", "--json"]),
        shell.run(&["show", id]),
        shell.run(&["show", id, "--json"]),
        shell.feed(&key, &["check", "--require", "read"]),
        shell.feed(&key, &["check", "--json", "--require", "admin"]),
        shell.feed(&key, &["check", "--prefix", "other"]),
        shell.feed(&key, &["check", "--realm", "billing"]),
        shell.feed(&key, &["import", "--subject", "bob", "--expires-in", "1d"]),
        shell.feed(
            &format!("{key},"),
            &["import", "--subject", "bob", "--expires-in", "1d"],
        ),
        // A key that was put in the wrong place.
        shell.run(&["show", &key]),
        shell.run(&["revoke", &key]),
        shell.run(&["rotate", &key]),
        shell.run(&["list", "--lineage", &key]),
        shell.run(&[&key]),
        shell.run(&["list", &key]),
        shell.run(&["list", "--store", &key]),
        shell.run(&["issue", "--subject", "a", "--expires-in", &key]),
        shell.run(&["issue", "--subject", "a", "--pepper", &key]),
        shell.run(&[
            "issue",
            "--subject",
            "a",
            "--pepper",
            &format!("1=env:{key}"),
        ]),
        shell.run(&["revoke", "x", "--reason", &key]),
        shell.run(&["man", &key]),
        shell.run(&["completions", &key]),
        shell.run(&["check", &key]),
    ];
    let rotated = shell.run(&["rotate", id, "--json"]);
    let new = rotated.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(rotated.stdout.matches(&new[18..]).count(), 1);
    assert!(rotated.stderr.is_empty());
    everything.push(rotated);
    everything.push(shell.run(&["revoke", "--subject", "alice"]));
    everything.push(shell.run(&["list"]));
    for Ran { stdout, stderr, .. } in &everything {
        assert!(!stdout.contains(secret), "{stdout}");
        assert!(!stderr.contains(secret), "{stderr}");
        assert!(
            !stdout.contains(&hex) && !stderr.contains(&hex),
            "the digest"
        );
    }
    assert_eq!(
        everything[10].stderr,
        format!(
            "tower-api-key: this is a key, not its id, and it may have leaked, because other \
             users can see arguments; write its id, {id}, or write - and put the key on standard \
             input\n"
        )
    );

    let imported = shell.feed(
        IMPORTED,
        &["import", "--subject", "carol", "--expires-in", "1d"],
    );
    assert_eq!(imported.code, 0);
    let again = shell.feed(
        IMPORTED,
        &[
            "import",
            "--subject",
            "carol",
            "--expires-in",
            "1d",
            "--json",
        ],
    );
    for Ran { stdout, stderr, .. } in [imported, again] {
        assert!(!stdout.contains(IMPORTED) && !stderr.contains(IMPORTED));
    }
    for file in std::fs::read_dir(shell.folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.ends_with("key") {
            // Written by this test for `sha256sum`.
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for plaintext in [secret, &new[18..], IMPORTED] {
            let found = bytes
                .windows(plaintext.len())
                .any(|window| window == plaintext.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

/// With any text attached and in any spelling: it may come from a log or a URL.
#[test]
fn r06_a_key_in_an_argument_is_not_repeated_whatever_stands_around_it() {
    let shell = Shell::new();
    let issued = shell.run(&["issue", "--subject", "alice"]);
    let key = issued.stdout.trim_end();
    let secret = &key[18..];
    let mut mistyped = key.to_owned();
    mistyped.replace_range(49.., if key.ends_with('Q') { "R" } else { "Q" });
    for text in [
        format!("x{key}y"),
        format!("KEY_{key}_KEY"),
        format!("a%3D{key}%20b"),
        format!("\\n{key}\\n"),
        format!("\u{1b}[31m{key}\u{1b}[0m"),
        format!("{key}{key}"),
        key.replace('_', "%5F"),
        mistyped,
    ] {
        for arguments in [
            &["show", &text][..],
            &["show", &format!("--{text}")],
            &[&text],
            &["list", "--store", &text],
            &["issue", "--subject", "a", "--expires-in", &text],
            &[
                "issue",
                "--subject",
                "a",
                "--pepper",
                &format!("1=env:{text}"),
            ],
        ] {
            let Ran { stdout, stderr, .. } = shell.run(arguments);
            assert_eq!(stdout, "", "{arguments:?}");
            assert!(!stderr.contains(&secret[..31]), "{stderr}");
        }
        let shown = shell.run(&["show", &text]);
        assert!(
            shown.stderr.contains("this is a key, not its id"),
            "{shown:?}"
        );
    }
}

#[test]
fn r06_the_password_of_a_server_is_not_repeated() {
    let mut shell = Shell::without_store();
    for store in [
        "postgres://alice:hunter2@127.0.0.1:1/keys",
        "postgres://alice:hunter2@[::1/keys",
        "mysql://alice:hunter2@127.0.0.1/keys",
        "postgres:alice:hunter2",
        "postgres://alice:hunter2?SECRET@127.0.0.1:1/keys",
        "postgres://alice:%68unter2hunter2%zz@127.0.0.1:1/keys",
        "postgres://alice@127.0.0.1:1/keys?pasword=hunter2",
        "postgres://alice@127.0.0.1:1/keys?password=hunter2",
        "postgres://alice@127.0.0.1:1/keys?password=hunter2&password=hunter2",
        "postgres://alice@127.0.0.1:1/keys?sslMode=hunter2",
        "postgres://alice@127.0.0.1:1/keys?sslmode=hunter2",
        "postgres://alice@127.0.0.1:1/keys?hunter2",
        "postgres://alice@127.0.0.1:hunter2/keys",
    ] {
        shell.store = store.to_owned();
        for arguments in [
            &["list"][..],
            &["migrate"],
            &["--help"],
            &["list", "--json"],
        ] {
            let ran = shell.run(arguments);
            assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
        }
    }
}

/// A URL may be in any argument: in the wrong place, or after an option of another program.
#[test]
fn r06_passwords_in_urls_are_not_repeated_wherever_they_stand() {
    let shell = Shell::new();
    for text in [
        "postgres://alice:hunter2@127.0.0.1:1/keys",
        "postgres://alice:hunter2@[::1/keys",
        "postgres://alice:hun ter2'hunter2@db/keys",
        "postgres://alice:hunter2/hunter2?hunter2#hunter2@db:5432/keys",
        "mysql://alice:hunter2@127.0.0.1/keys",
        "https://alice:hunter2@example.com",
        "alice:hunter2@db/keys",
        "postgres:alice:hunter2",
        "postgres://alice@db/keys?pasword=hunter2",
        "postgres://alice@db/keys?hunter2",
        "postgres://alice@db:hunter2/keys",
        "host=db user=alice password=hunter2",
        "PGPASSWORD=hunter2",
        "--url=postgres://alice:hunter2@db/keys",
        "--password=hunter2",
    ] {
        for arguments in [
            &[text][..],
            &["list", text],
            &["show", text],
            &["rotate", text],
            &["man", text],
            &["completions", text],
            &["check", text],
            &["backup", "x", text],
            &["restore", text],
            &["copy", text],
            &["revoke", "x", "--reason", text],
            &["issue", "--subject", "a", "--expires-in", text],
            &["issue", "--subject", "a", "--expires-at", text],
            &["issue", "--subject", "a", "--max-keys-per-subject", text],
            &["issue", "--subject", "a", "--pepper", text],
            &[
                "issue",
                "--subject",
                "a",
                "--pepper",
                &format!("1=file:{text}"),
            ],
            &[
                "issue",
                "--subject",
                "a",
                "--pepper",
                &format!("1=env:{text}"),
            ],
            &["import", "--subject", "a", "--digest", text],
            &["list", "--store", text],
            &["list", "--realm", text],
            &["list", "--limit", text],
            &["purge", "--retention", text],
        ] {
            let ran = shell.run(arguments);
            let shown = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!shown.contains("ter2"), "{arguments:?} {shown}");
        }
    }
}
