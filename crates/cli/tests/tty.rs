//! The output on a terminal.

use super::{Ran, Shell};

/// Runs a command on a terminal with this many columns, whose name is in the variable.
const ON_A_TERMINAL: &str = r"
import fcntl, os, pty, struct, subprocess, sys, termios
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, int(sys.argv[1]), 0, 0))
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
os.close(theirs)
while True:
    try:
        read = os.read(ours, 65536)
    except OSError:
        break
    if not read:
        break
    sys.stdout.buffer.write(read.replace(b'\r\n', b'\n'))
sys.exit(child.wait())
";

#[track_caller]
fn on_a_terminal(
    shell: &Shell,
    columns: usize,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> String {
    let known = shell.command(&[]);
    let mut python = std::process::Command::new("python3");
    python.current_dir(shell.folder.path());
    for (name, value) in known.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    python
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .args(["-c", ON_A_TERMINAL, &columns.to_string()])
        .arg(tower_api_key_test_support::process::program())
        .args(arguments);
    let ran = Ran::of(python.output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout
}

/// As a terminal shows it: without colours, and with two columns for a wide character.
fn columns_of(line: &str) -> usize {
    let colour = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    let shown = colour.replace_all(line, "");
    shown
        .chars()
        .map(|it| {
            if it >= '\u{1100}' && it != '…' {
                2
            } else {
                1
            }
        })
        .sum()
}

#[test]
fn a_list_fits_the_terminal_and_is_whole_in_a_pipe() {
    let shell = Shell::new();
    let label = "漢字 of a label that is long, for it says a lot of what the key is there for";
    for subject in ["alice", "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"] {
        shell.mint(&[
            "issue",
            "--subject",
            subject,
            "--label",
            label,
            "--scope",
            "orders:read",
            "--scope",
            "orders:write",
            "--scope",
            "customers:read",
        ]);
    }
    let whole = shell.run(&["list"]).stdout;
    assert!(
        whole
            .lines()
            .all(|line| columns_of(line) > 120 || line.starts_with("ID"))
    );
    for columns in [80, 100, 120] {
        let listed = on_a_terminal(&shell, columns, &[], &["list"]);
        let widths: Vec<usize> = listed.lines().map(columns_of).collect();
        assert!(
            widths.iter().all(|width| *width <= columns),
            "{columns} {widths:?}\n{listed}"
        );
        assert!(
            widths[1..].iter().all(|width| *width + 2 >= columns),
            "{widths:?}"
        );
        assert!(listed.contains('…'));
        // The key's name and its state are never truncated.
        for line in listed.lines().skip(1) {
            let id = &line[..12];
            assert!(whole.contains(id), "{line}");
            assert!(line.contains("live") && line.contains("Z "), "{line}");
        }
    }
    let listed = on_a_terminal(&shell, 0, &[("COLUMNS", "80")], &["list"]);
    assert!(
        listed.lines().all(|line| columns_of(line) <= 80),
        "{listed}"
    );
    let plain = |text: &str| -> String {
        text.replace("\u{1b}[1m", "")
            .replace("\u{1b}[32m", "")
            .replace("\u{1b}[0m", "")
    };
    let listed = on_a_terminal(&shell, 400, &[], &["list"]);
    assert_eq!(plain(&listed), whole);
    // Too narrow for anything, but ids are still whole.
    let listed = on_a_terminal(&shell, 10, &[], &["list", "--subject", "alice"]);
    assert!(listed.lines().last().unwrap().len() > 60, "{listed}");
    let shown = shell.run(&["list", "--json"]).stdout;
    let on_terminal = on_a_terminal(&shell, 40, &[], &["list", "--json"]);
    assert_eq!(on_terminal, shown);
}

/// The columns of a table begin at the same place for wide and combining characters.
#[test]
fn wide_characters_shift_no_column() {
    let shell = Shell::new();
    for subject in ["ab", "漢字", "e\u{301}a", "ｗ"] {
        shell.mint(&["issue", "--subject", subject]);
    }
    let listed = shell.run(&["list"]).stdout;
    for line in listed.lines().skip(1) {
        let before = &line[..line.find("live").unwrap()];
        let wide = before.chars().filter(|it| "漢字ｗ".contains(*it)).count();
        let combining = before.chars().filter(|it| *it == '\u{301}').count();
        assert_eq!(before.chars().count() + wide - combining, 23, "{line}");
    }
}

#[test]
fn colours_are_for_terminals_that_have_them() {
    let shell = Shell::new();
    shell.mint(&["issue", "--subject", "alice"]);
    for (environment, coloured) in [
        (&[][..], true),
        (&[("NO_COLOR", "")], true),
        (&[("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        for arguments in [&["list"][..], &["issue", "--subject", "bob"]] {
            let shown = on_a_terminal(&shell, 80, environment, arguments);
            assert_eq!(
                shown.contains('\u{1b}'),
                coloured,
                "{environment:?} {shown}"
            );
        }
    }
}

#[test]
fn colours_are_for_terminals_alone() {
    let shell = Shell::new();
    let issued = shell.run(&["issue", "--subject", "alice"]);
    let listed = shell.run(&["list"]);
    assert!(!format!("{issued:?}{listed:?}").contains("\\u{1b}"));
}
