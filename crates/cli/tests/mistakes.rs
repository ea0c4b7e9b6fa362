//! Bad input: one line that says what to do, an exit code, and no partial change.

use std::fs;
use std::process::Stdio;

use super::{Ran, Shell, failed};
use tower_api_key_test_support::support::IMPORTED;

#[test]
fn arguments_that_make_no_sense() {
    let shell = Shell::new();
    let id = "0123456789Ab";
    for (arguments, line) in [
        (
            &["issue", "--subject", "alice", "--scope", "a b"][..],
            "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\",
        ),
        (
            &["issue", "--subject", ""],
            "invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start",
        ),
        (
            &["issue", "--subject", "a", "--expires-in", "soon"],
            "invalid duration: soon; write a number and a unit of s, m, h, d or w, such as 90d or \
             1h30m",
        ),
        (
            &["issue", "--subject", "a", "--expires-at", "tomorrow"],
            "invalid timestamp: expected RFC 3339, such as 2027-01-15T08:00:00Z, from 1970 on",
        ),
        (
            &["issue", "--subject", "a", "--metadata", "team"],
            "invalid metadata; write NAME=VALUE",
        ),
        (
            &["describe", "0123456789Ab", "--metadata", "team"],
            "invalid metadata; write NAME=VALUE",
        ),
        (
            &["issue", "--subject", "a", "--prefix", "Acme"],
            "invalid key prefix: use 1 to 20 of a-z, 0-9 and _, starting with a letter and not \
             ending in _",
        ),
        (
            &[
                "issue",
                "--subject",
                "a",
                "--pepper",
                "correct horse battery staple",
            ],
            "invalid pepper; write VERSION=env:NAME or VERSION=file:PATH",
        ),
        (
            &[
                "issue",
                "--subject",
                "a",
                "--pepper",
                "1=env:NO_SUCH_PEPPER",
            ],
            "no pepper: the variable NO_SUCH_PEPPER is not set",
        ),
        (
            &["list", "--realm", ""],
            "invalid realm: use 1 to 64 printable ASCII characters without \" and \\",
        ),
        (
            &["show", "nonsense"],
            "invalid key id: expected the 12 characters before the last _ of a key",
        ),
        (
            &["rotate", id, "--grace", "0s"],
            "no such key in this realm; use list to see its keys, or --realm to choose another \
             realm",
        ),
        (
            &["issue"],
            "the following required arguments were not provided: --subject <SUBJECT>; see --help",
        ),
        (
            &["list", "--bogus"],
            "unexpected argument '--bogus' found; see --help",
        ),
        (
            &["revoke", id, "--subject", "a"],
            "the argument '[ID]' cannot be used with '--subject <SUBJECT>'; see --help",
        ),
        (
            &["man", "nonsense"],
            "no such command; see tower-api-key --help",
        ),
    ] {
        let code = if line.starts_with("no such key") {
            3
        } else {
            2
        };
        assert_eq!(shell.run(arguments), failed(code, line), "{arguments:?}");
    }
    assert_eq!(shell.run(&["list"]).stdout, "", "nothing was issued");
}

#[test]
fn an_end_that_no_key_can_have() {
    let shell = Shell::new();
    let issue = ["issue", "--subject", "a", "--expires-at"];
    let past = "2020-01-01T00:00:00Z";
    let ran = shell.run(&[&issue[..], &[past]].concat());
    let start = format!("tower-api-key: --expires-at {past} is in the past: it is ");
    let now = ran
        .stderr
        .strip_prefix(&start)
        .unwrap_or_else(|| panic!("{ran:?}"));
    let now = now.strip_suffix(" now\n").unwrap();
    assert!(tower_api_key::Timestamp::from_rfc3339(now).is_ok(), "{now}");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    let later = "2099-01-01T00:00:00Z";
    let ran = shell.run(&[&issue[..], &[later, "--not-before", later]].concat());
    let line = format!("--expires-at {later} is no later than --not-before {later}");
    assert_eq!(ran, failed(2, &line));
    assert_eq!(shell.run(&["list"]).stdout, "", "nothing was issued");
}

#[test]
fn an_option_that_is_cut_short_names_all_that_it_may_be() {
    let shell = Shell::new();
    for (arguments, line) in [
        (
            &["issue", "--subject", "a", "--expires", "1d"][..],
            "unexpected argument '--expires' found; write --expires-in or --expires-at",
        ),
        (
            &["issue", "--subject", "a", "--expires=1d"],
            "unexpected argument '--expires' found; write --expires-in or --expires-at",
        ),
        (
            &["check", "--req", "a"],
            "unexpected argument '--req' found; write --require or --require-any",
        ),
    ] {
        assert_eq!(shell.run(arguments), failed(2, line), "{arguments:?}");
    }
}

#[test]
fn what_the_policy_or_the_state_of_a_key_refuses() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    for (arguments, line) in [
        (
            &["issue", "--subject", "a", "--expires-in", "91d"][..],
            "lifetime too long: this ring grants at most 90d; use --max-lifetime to raise the \
             limit",
        ),
        (
            &["issue", "--subject", "a", "--never-expires"],
            "lifetime too long: this ring grants at most 90d; use --max-lifetime to raise the \
             limit",
        ),
        (
            &[
                "issue",
                "--subject",
                "a",
                "--scope",
                "b",
                "--grantable-scope",
                "a",
            ],
            "scope not grantable: this ring grants only a; use --grantable-scope to add a scope",
        ),
        (
            &["issue", "--subject", "alice", "--max-keys-per-subject", "1"],
            "too many keys: this ring lets a subject hold 1; revoke a lineage first; use \
             --max-keys-per-subject to raise the limit",
        ),
        (
            &["rotate", &id, "--grace", "25h"],
            "grace period too long: this ring grants at most 24h; use --max-grace to raise the \
             limit",
        ),
        (
            &["narrow", &id, "--scope", "admin"],
            "narrowing cannot add scopes: regrant the key to change what it may do",
        ),
    ] {
        assert_eq!(shell.run(arguments), failed(1, line), "{arguments:?}");
    }
    shell.mint(&["rotate", &id]);
    let line = "rotation in progress: a key of the lineage is in its grace period; wait until the \
                period ends, or rotate the newest key with --now";
    assert_eq!(shell.run(&["rotate", &id]), failed(1, line));
    shell.run(&["revoke", &id]);
    let line = "the key is revoked: issue a new one";
    for arguments in [
        &["rotate", &id][..],
        &["regrant", &id],
        &["narrow", &id, "--scope", "read"],
    ] {
        assert_eq!(shell.run(arguments), failed(1, line), "{arguments:?}");
    }
    assert_eq!(
        shell
            .run(&["list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn ids_that_are_not_there() {
    let shell = Shell::new();
    let (_, elsewhere) = shell.mint(&["issue", "--subject", "alice", "--realm", "billing"]);
    let line = "no such key in this realm; use list to see its keys, or --realm to choose another \
                realm";
    for id in ["0123456789Ab", &elsewhere] {
        for arguments in [
            &["show", id][..],
            &["rotate", id],
            &["regrant", id],
            &["narrow", id, "--scope", "read"],
            &["revoke", id],
            &["revoke", "--lineage", id],
        ] {
            assert_eq!(shell.run(arguments), failed(3, line), "{arguments:?}");
        }
    }
}

#[test]
fn an_import_that_is_refused() {
    let shell = Shell::new();
    assert_eq!(
        shell
            .feed(
                IMPORTED,
                &["import", "--subject", "a", "--expires-in", "1d"]
            )
            .code,
        0
    );
    let twice = shell.feed(
        IMPORTED,
        &["import", "--subject", "b", "--expires-in", "1d"],
    );
    let line = "the store already holds this id or digest; nothing was imported, because a key \
                can be imported only once";
    assert_eq!(twice, failed(4, line));
    let weak = shell.feed(
        "hunter2",
        &["import", "--subject", "b", "--expires-in", "1d"],
    );
    let line = "weak key: under 128 bits by length and alphabet, so it can be guessed; issue a \
                new key instead, or use --insecure";
    assert_eq!(weak, failed(1, line));
    let unfit = shell.feed("a b", &["import", "--subject", "b", "--expires-in", "1d"]);
    let line = "invalid plaintext: use 1 to 512 visible ASCII characters without commas, and no mistyped key of this ring";
    assert_eq!(unfit, failed(2, line));
    let empty = shell.feed("", &["import", "--subject", "b", "--expires-in", "1d"]);
    assert_eq!(empty, failed(2, "no key: write it to standard input"));
    let digest = shell.run(&[
        "import",
        "--subject",
        "b",
        "--expires-in",
        "1d",
        "--digest",
        "abc",
    ]);
    assert_eq!(
        digest,
        failed(2, "invalid digest: expected 64 hexadecimal digits")
    );
    assert_eq!(
        shell
            .run(&["list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn stores_that_cannot_be_used() {
    let mut shell = Shell::without_store();
    let folder = shell.folder.path().to_owned();
    let there = |name: &str| folder.join(name).display().to_string();
    fs::write(there("garbage.db"), "no database ".repeat(99)).unwrap();
    fs::write(there("broken.toml"), "[[keys]]\nsubject = \"alice\"\n").unwrap();
    fs::write(there("empty.toml"), "keys = []").unwrap();
    for (store, code, line) in [
        (
            format!("sqlite:{}", there("keys.db")),
            5,
            format!(
                "the store is unavailable: {}: there is no such file; check the name, or create \
                 the store first; use tower-api-key migrate to create it",
                there("keys.db")
            ),
        ),
        (
            format!("sqlite:{}", there("garbage.db")),
            5,
            format!(
                "the store is damaged: {}: this is not a SQLite database; name another file, or \
                 restore it from a backup: file is not a database: Error code 26: file is not a \
                 database",
                there("garbage.db")
            ),
        ),
        (
            format!("file:{}", there("broken.toml")),
            5,
            format!(
                "the store is damaged: {}, line 1: digest is missing",
                there("broken.toml")
            ),
        ),
        (
            format!("file:{}", there("missing.json")),
            5,
            format!(
                "the store is unavailable: {}: the file cannot be read: No such file or directory \
                 (os error 2)",
                there("missing.json")
            ),
        ),
        (
            format!("file:{}", there("empty.toml")),
            5,
            format!(
                "the store cannot be written to: {}: keys are managed by editing the file; this \
                 store only reads it",
                there("empty.toml")
            ),
        ),
        (
            "postgres://alice:s3cret@127.0.0.1:1/keys".to_owned(),
            5,
            "the store is unavailable: check that the server runs, and the host and the port of \
             the URL: Connection refused (os error 111)"
                .to_owned(),
        ),
    ] {
        shell.store = store;
        let ran = shell.run(&["issue", "--subject", "alice"]);
        assert_eq!(ran, failed(code, &line), "{}", shell.store);
    }
    assert!(
        !folder.join("keys.db").exists(),
        "no store by a slip of the pen"
    );
}

#[test]
fn stores_that_are_not_named_right() {
    let mut shell = Shell::without_store();
    let invalid = "invalid store; write sqlite:PATH, postgres://USER@HOST/DATABASE or file:PATH";
    for store in [
        "mysql://root:s3cret@localhost/keys",
        "sqlite:",
        "keys.db",
        "postgres:keys",
    ] {
        shell.store = store.to_owned();
        assert_eq!(shell.run(&["list"]), failed(2, invalid));
    }
    let nothing = |name: &str| {
        let mut command = shell.command(&["list"]);
        command.env_remove(name);
        Ran::of(command.output().unwrap())
    };
    assert_eq!(
        nothing("TOWER_API_KEY_STORE"),
        failed(
            2,
            "no store; name one with --store or in TOWER_API_KEY_STORE"
        )
    );
    let mut command = shell.command(&["issue", "--subject", "a"]);
    command.env_remove("TOWER_API_KEY_PREFIX");
    assert_eq!(
        Ran::of(command.output().unwrap()),
        failed(
            2,
            "no prefix; name it with --prefix or in TOWER_API_KEY_PREFIX"
        )
    );
}

/// A schema from the future, and one that does not exist yet.
#[test]
fn schemas_of_other_versions() {
    let shell = Shell::new();
    let path = shell.folder.path().join("keys.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    for version in ["99", "0"] {
        database
            .pragma_update(None, "user_version", version)
            .unwrap();
        let ran = shell.run(&["list"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{ran:?}");
        let start = format!(
            "tower-api-key: the schema of the store is not the expected one: {}: ",
            path.display()
        );
        assert!(ran.stderr.starts_with(&start), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1);
    }
}

#[test]
fn a_standard_output_that_is_closed() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice"]);
    let into = |target: &str, arguments: &[&str]| {
        let mut command = shell.command(arguments);
        command.stdout(fs::File::options().write(true).open(target).unwrap());
        command.stderr(Stdio::piped());
        Ran::of(command.output().unwrap())
    };
    let lost = |why: &str| {
        format!(
            "standard output is {why}, so the new key would be lost; nothing was changed; capture \
             it with KEY=$(...), or write it to a file that only you may read"
        )
    };
    for arguments in [
        &["issue", "--subject", "bob"][..],
        &["mint", "--subject", "bob"],
        &["rotate", &id],
        &["regrant", &id],
    ] {
        let null = into("/dev/null", arguments);
        assert_eq!(null, failed(6, &lost("/dev/null")));
        let mut command = shell.command(arguments);
        // A pipe whose reader is gone before the program begins.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer).stderr(Stdio::piped());
        let unread = Ran::of(command.output().unwrap());
        assert_eq!(unread, failed(6, &lost("a pipe that nothing reads")));
    }
    assert_eq!(shell.run(&["list", "--json"]).json()[0]["version"], 1);

    let closed = |command_line: &str| {
        let program = tower_api_key_test_support::process::program();
        let program = program.display();
        let mut command = shell.command(&[]);
        let environment: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        command = std::process::Command::new("sh");
        for (name, value) in environment {
            command.env(name, value.unwrap_or_default());
        }
        command.args(["-c", &format!("exec {program} {command_line} >&-")]);
        Ran::of(command.output().unwrap())
    };
    assert_eq!(closed("issue --subject bob"), failed(6, &lost("closed")));
    let line = "standard output cannot be written to: it is closed";
    for command in ["list", "pattern", "--help", "man"] {
        assert_eq!(closed(command), failed(6, line), "{command}");
    }
    assert_eq!(
        into("/dev/null", &["list"]).code,
        0,
        "nobody wants to see it"
    );

    let full = "standard output cannot be written to: No space left on device (os error 28)";
    assert_eq!(into("/dev/full", &["list"]), failed(6, full));
    assert_eq!(into("/dev/full", &["--help"]), failed(6, full));
    assert_eq!(into("/dev/full", &["completions", "bash"]), failed(6, full));
    assert_eq!(into("/dev/full", &["man"]), failed(6, full));
}

/// Invariant 12: the plaintext is in one return value. If that is lost, the key is dead.
#[test]
fn invariant_12_a_key_that_could_not_be_written_is_revoked() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice"]);
    for (arguments, after) in [
        (&["issue", "--subject", "bob"][..], ""),
        (
            &["rotate", &id],
            "; the key that it replaced ends anyway, so issue another key",
        ),
    ] {
        let mut command = shell.command(arguments);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        command.stdout(full).stderr(Stdio::piped());
        let ran = Ran::of(command.output().unwrap());
        let listed = shell.run(&["list", "--json"]).json();
        let mut records = listed.as_array().unwrap().iter();
        let lost = records.find(|record| ran.stderr.contains(record["id"].as_str().unwrap()));
        let lost = lost.unwrap();
        let line = format!(
            "standard output cannot be written to: No space left on device (os error 28); the new \
             key {} was revoked, because it was not delivered{after}",
            lost["id"].as_str().unwrap()
        );
        assert_eq!(ran, failed(6, &line));
        assert_eq!(lost["state"], "revoked");
        assert_eq!(lost["revocation_reason"], "cessation_of_operation");
    }
}

/// One scope instead of two: RFC 6749 allows it, but the user hardly meant it.
#[test]
fn a_comma_in_a_scope_is_a_warning() {
    let shell = Shell::new();
    let warning = |flag: &str| {
        format!(
            "tower-api-key: warning: read,write is one scope with a comma in its name; for several, \
             write {flag} read {flag} write\n"
        )
    };
    let commas = ["--scope", "read,write"];
    let (_, id) = shell.mint(&["issue", "--subject", "a", "--scope", "read,write"]);
    for (arguments, flag) in [
        (&["issue", "--subject", "a"][..], "--scope"),
        (&["mint", "--subject", "a"], "--scope"),
        (&["narrow", &id], "--scope"),
        (&["regrant", &id], "--scope"),
    ] {
        let ran = shell.run(&[arguments, &commas].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.starts_with(&warning(flag)), "{ran:?}");
    }
    let import = [
        &["import", "--subject", "a", "--expires-in", "1d"],
        &commas[..],
    ]
    .concat();
    let ran = shell.feed(IMPORTED, &import);
    assert_eq!((ran.code, ran.stderr), (0, warning("--scope")));
    let (key, _) = shell.mint(&["issue", "--subject", "a", "--scope", "read,write"]);
    for flag in ["--require", "--require-any"] {
        let ran = shell.feed(&key, &["check", flag, "read,write"]);
        assert_eq!((ran.code, ran.stderr), (0, warning(flag)));
    }
    let limited = ["issue", "--subject", "a", "--grantable-scope", "read,write"];
    let ran = shell.run(&limited);
    assert!(
        ran.stderr.starts_with(&warning("--grantable-scope")),
        "{ran:?}"
    );
}
