//! Times that were written in the wrong unit.

use super::{Shell, failed};

/// Milliseconds that are taken for seconds: 90 days are 7 776 000 s, and 7 776 000 000 ms.
#[test]
fn milliseconds_taken_for_seconds_are_refused_by_every_command() {
    let shell = Shell::new();
    let (key, id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    let long = "7776000000s";
    let unlimited = ["--max-lifetime", "unlimited"];
    let line = "invalid duration: 7776000000s is over 100 years; milliseconds taken for seconds?";
    for arguments in [
        &["issue", "--subject", "a", "--expires-in", long][..],
        &["mint", "--subject", "a", "--expires-in", long],
        &["regrant", &id, "--expires-in", long],
        &[
            "import",
            "--subject",
            "a",
            "--digest",
            &"0".repeat(64),
            "--expires-in",
            long,
        ],
    ] {
        assert_eq!(shell.run(arguments), failed(2, line), "{arguments:?}");
        let arguments = [arguments, &unlimited].concat();
        assert_eq!(shell.run(&arguments), failed(2, line), "{arguments:?}");
    }
    for arguments in [
        &["rotate", &id, "--grace", long][..],
        &["rotate", &id, "--grace", long, "--max-grace", "36525d"],
        &["rotate", &id, "--max-grace", long],
        &["issue", "--subject", "a", "--max-lifetime", long],
        &["purge", "--retention", long],
    ] {
        assert_eq!(shell.run(arguments), failed(2, line), "{arguments:?}");
    }
    // The same for moments: now is 1.8 · 10⁹ s, and 1.8 · 10¹² ms.
    let line = "invalid time: 1800000000000 is beyond the year 9999; milliseconds taken for \
                seconds?";
    for option in ["--expires-at", "--not-before"] {
        for command in [&["issue", "--subject", "a"][..], &["regrant", &id]] {
            let arguments = [command, &[option, "1800000000000"], &unlimited].concat();
            assert_eq!(shell.run(&arguments), failed(2, line), "{arguments:?}");
        }
    }
    assert_eq!(shell.verdict(&key), "accepted");
    let listed = shell.run(&["list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "nothing was issued");
    assert_eq!(listed[0]["version"], 1, "nothing was changed");
}

/// A hundred years from 2026 on are within the year 9999. A refused limit is given in days.
#[test]
fn limits_are_said_as_people_write_them() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice"]);
    for (limit, shown) in [
        ("365d", "365d"),
        ("90000s", "25h"),
        ("1w", "7d"),
        ("90m", "1h30m"),
    ] {
        let issue = ["issue", "--subject", "a", "--expires-in", "36525d"];
        let line = format!(
            "lifetime too long: this ring grants at most {shown}; use --max-lifetime to raise the \
             limit"
        );
        let refused = shell.run(&[&issue[..], &["--max-lifetime", limit]].concat());
        assert_eq!(refused, failed(1, &line));
        let rotate = ["rotate", &id, "--grace", "36525d", "--max-grace", limit];
        let line = format!(
            "grace period too long: this ring grants at most {shown}; use --max-grace to raise \
             the limit"
        );
        assert_eq!(shell.run(&rotate), failed(1, &line));
    }
}
