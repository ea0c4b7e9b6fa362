//! `import --batch`: a result for each line, and no output that repeats a key.

use std::fmt::Write as _;

use serde_json::json;
use tower_api_key::redact_keys;

use super::{Ran, Shell, failed};

const KEYS: [&str; 3] = [
    "sk_old_4f9A7YqZr01mLw8Vx6pTe2Nd",
    "sk_old_u71Bc9XyQw33rTzLm0PoVe5s",
    "sk_old_Hh28sKd01lqPxYv7Nn3bRt6W",
];
/// The SHA-256 of "test".
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

impl Shell {
    /// Writes a file and imports it.
    #[track_caller]
    fn batch(&self, name: &str, content: &str, more: &[&str]) -> Ran {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut arguments = vec!["import", "--batch", path.to_str().unwrap()];
        arguments.extend(more);
        self.run(&arguments)
    }

    /// The number of keys.
    #[track_caller]
    fn count(&self) -> usize {
        self.run(&["list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len()
    }
}

/// The results, with `ID` for each id.
fn results(ran: &Ran) -> Vec<String> {
    let id = regex::Regex::new(r"^(\d+\t(?:imported|present)\t)[0-9A-Za-z]{12}").unwrap();
    ran.stdout
        .lines()
        .map(|line| id.replace(line, "${1}ID").into_owned())
        .collect()
}

fn tsv(keys: &[&str]) -> String {
    let mut text =
        "kind\tkey\tsubject\tscopes\texpires_at\tissued_at\tlabel\tmetadata.plan\n".to_owned();
    for key in keys {
        let rest = "alice\torders:read orders:write\tnever\t2024-05-06T07:08:09Z\tlaptop\tgold";
        writeln!(text, "plaintext\t{key}\t{rest}").unwrap();
    }
    text
}

const UNLIMITED: [&str; 2] = ["--max-lifetime", "unlimited"];

#[test]
fn a_batch_is_imported_tried_before_and_run_again() {
    let shell = Shell::new();
    let file = tsv(&KEYS);
    let mut dry = UNLIMITED.to_vec();
    dry.push("--dry-run");
    let ran = shell.batch("old.tsv", &file, &dry);
    let would: Vec<String> = (2..5)
        .map(|line| format!("{line}\twould_import\t"))
        .collect();
    assert_eq!((ran.code, results(&ran)), (0, would));
    assert_eq!(
        ran.stderr,
        "3 would be imported, 0 already there, 0 ended, 0 failed\n"
    );
    assert_eq!(shell.count(), 0);

    let ran = shell.batch("old.tsv", &file, &UNLIMITED);
    let imported: Vec<String> = (2..5).map(|line| format!("{line}\timported\tID")).collect();
    assert_eq!((ran.code, results(&ran)), (0, imported));
    assert_eq!(
        ran.stderr,
        "3 imported, 0 already there, 0 ended, 0 failed\n"
    );
    let first = ran
        .stdout
        .lines()
        .next()
        .unwrap()
        .split('\t')
        .nth(2)
        .unwrap();
    let shown = shell.run(&["show", first, "--json"]).json();
    assert_eq!(shown["subject"], "alice");
    assert_eq!(shown["issued_at"], "2024-05-06T07:08:09Z");
    assert_eq!(shown["expires_at"], json!(null));
    assert_eq!(shown["scopes"], json!(["orders:read", "orders:write"]));
    assert_eq!(
        (&shown["label"], &shown["metadata"]),
        (&json!("laptop"), &json!({"plan": "gold"}))
    );
    assert_eq!(shell.feed(KEYS[0], &["check", "--accept-imports"]).code, 0);

    // One was revoked meanwhile, one is new, and one now belongs to another subject.
    assert_eq!(shell.run(&["revoke", first]).code, 0);
    let more = tsv(&KEYS).replace(&format!("{}\talice", KEYS[1]), &format!("{}\tbob", KEYS[1]))
        + "plaintext\tsk_old_8sJd72hGf6sK2lPq9Xv4Mn1B\talice\t\tnever\t\t\t\n";
    let ran = shell.batch("old.tsv", &more, &UNLIMITED);
    let differs =
        "the store holds this key with another subject; revoke that key, or remove the line";
    let expected = [
        "2\tpresent\tID revoked".to_owned(),
        format!("3\tfailed\t{differs}"),
        "4\tpresent\tID".to_owned(),
        "5\timported\tID".to_owned(),
    ];
    assert_eq!((ran.code, results(&ran)), (7, expected.to_vec()));
    let stderr = "1 imported, 2 already there, 0 ended, 1 failed\ntower-api-key: 1 line was not imported; its result says why\n";
    assert_eq!(ran.stderr, stderr);
}

#[test]
fn json_has_an_object_for_each_line_and_one_for_the_counts() {
    let shell = Shell::new();
    let lines = format!(
        "{}\n\n{}\n{}\n",
        json!({ "kind": "sha256-hex", "key": HASH, "subject": "bob", "scopes": ["a", "b"], "metadata": {"x": "y"}, "expires_at": 4_000_000_000_u64 }),
        json!({ "kind": "sanctum", "id": 42, "key": HASH, "subject": "carol", "scopes": "a b", "expires_at": null }),
        json!({ "kind": "plaintext", "key": KEYS[0], "subject": "dave", "expires_at": "2020-01-01T00:00:00Z" }),
    );
    let ran = shell.batch(
        "old.ndjson",
        &lines,
        &["--max-lifetime", "36500d", "--expires-in", "30d", "--json"],
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let mut values: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for value in &mut values[..2] {
        assert_eq!(value["id"].as_str().unwrap().len(), 12);
        value["id"] = json!("ID");
    }
    assert_eq!(
        values,
        [
            json!({ "line": 1, "status": "imported", "id": "ID" }),
            json!({ "line": 3, "status": "imported", "id": "ID" }),
            json!({ "line": 4, "status": "ended" }),
            json!({ "summary": { "imported": 2, "present": 0, "ended": 1, "failed": 0 }, "complete": true }),
        ]
    );
    for key in ["test", "42|test"] {
        assert_eq!(
            shell.feed(key, &["check", "--accept-imports"]).code,
            0,
            "{key}"
        );
    }
    assert_eq!(
        shell.feed("41|test", &["check", "--accept-imports"]).code,
        1
    );
}

/// The mistake in a line, and the text of its result.
#[test]
fn r06_r35_every_mistake_in_a_line_has_its_cause_and_no_result_repeats_a_key() {
    let shell = Shell::new();
    let quoted = "the key is in quotes, which would become part of it; remove them";
    let foreign = "this hash cannot be converted to SHA-256; let the service look up such keys when they are presented (KeyRingBuilder::unknown_keys; see the guide on moving)";
    let field = "a field is unknown, given twice or of the wrong type; the fields are kind, key, id, subject, scopes, caveats, expires_at, issued_at, not_before, label and metadata";
    let no_time = "expires_at is not a time; write 2027-01-15T08:00:00Z, Unix seconds, or never";
    let row = |kind: &str, key: &str, more: &str| {
        format!(r#"{{"kind":"{kind}","key":"{key}","subject":"a","expires_at":"never"{more}}}"#)
    };
    let plain = |more: &str| format!(r#"{{"kind":"plaintext","key":"{}"{more}}}"#, KEYS[0]);
    let table = [
        (row("plaintext", &format!(r#"\"{}\""#, KEYS[0]), ""), quoted.to_owned()),
        (row("plaintext", &format!("'{}'", KEYS[0]), ""), quoted.to_owned()),
        (row("sha256-hex", &format!("'{HASH}'"), ""), quoted.to_owned()),
        (row("plaintext", &format!(" {}", KEYS[0]), ""), "there is white space around the key; remove it".to_owned()),
        (row("plaintext", &format!("\u{feff}{}", KEYS[0]), ""), "there is white space around the key; remove it".to_owned()),
        (row("plaintext", "hunter2", ""), "weak key: under 128 bits by length and alphabet, so it can be guessed; issue a new key instead, or use --insecure".to_owned()),
        (row("plaintext", &format!("{},{}", KEYS[0], KEYS[1]), ""), "invalid plaintext: use 1 to 512 visible ASCII characters without commas, and no mistyped key of this ring".to_owned()),
        (row("plaintext", "", ""), "no key".to_owned()),
        (row("sha256", HASH, ""), "unknown kind; write plaintext, sha256-hex, sha256-base64, sha256-base64url or sanctum".to_owned()),
        (row("sha512", HASH, ""), foreign.to_owned()),
        (row("sha256-hex", &HASH.repeat(2), ""), format!("128 hexadecimal digits are not a SHA-256; {foreign}")),
        (row("bcrypt", "$2b$12$abcdefghijklmnopqrstuv", ""), foreign.to_owned()),
        (row("plaintext", "$2b$12$abcdefghijklmnopqrstuv", ""), format!("this is a hash of bcrypt; {foreign}")),
        (row("plaintext", "$argon2id$v=19$m=65536$abcdefghijklmnop", ""), format!("this is a hash of Argon2; {foreign}")),
        (row("sha256-hex", &HASH[1..], ""), "expected the 64 hexadecimal digits of a SHA-256".to_owned()),
        (row("sha256-base64", HASH, ""), "expected the 43 characters of a SHA-256 in base64, and at most one =".to_owned()),
        (row("sha256-base64url", "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", ""), "expected the 43 characters of a SHA-256 in base64url, and at most one =".to_owned()),
        (row("sanctum", HASH, ""), "a sanctum token needs the id of its row, because clients send it with the token".to_owned()),
        (row("sanctum", HASH, r#","id":7,"scopes":["a","*"]"#), "the ability * means every ability, but no scope does; list the scopes".to_owned()),
        (row("sha256-hex", HASH, r#","id":7"#), "only a key of the kind sanctum has an id here; remove the id".to_owned()),
        (row("plaintext", KEYS[0], r#","scope":"x""#), field.to_owned()),
        (row("plaintext", KEYS[0], r#","key":"x""#), field.to_owned()),
        (row("plaintext", KEYS[0], r#","label":7"#), field.to_owned()),
        (plain(r#","expires_at":"never""#), "no subject".to_owned()),
        (plain(r#","subject":"a""#), "no expires_at; write the old expiry or never, or set the expiry of such lines with --expires-at, --expires-in or --never-expires".to_owned()),
        (plain(r#","subject":"a","expires_at":"""#), "no expires_at; write the old expiry or never, or set the expiry of such lines with --expires-at, --expires-in or --never-expires".to_owned()),
        (plain(&format!(r#","subject":"a","expires_at":"{}""#, KEYS[1])), no_time.to_owned()),
        (plain(r#","subject":"a","expires_at":"NULL""#), no_time.to_owned()),
        (plain(r#","subject":"a","expires_at":99999999999999999"#), no_time.to_owned()),
        (plain(r#","subject":"a","expires_at":"2099-01-01 00:00:00""#), no_time.to_owned()),
        (row("plaintext", KEYS[0], r#","issued_at":"yesterday""#), "issued_at is not a time; write 2027-01-15T08:00:00Z, or Unix seconds".to_owned()),
        (row("plaintext", KEYS[0], r#","issued_at":"2099-01-01T00:00:00Z""#), "invalid time of issue: an imported key cannot have been minted in the future".to_owned()),
        (row("plaintext", KEYS[0], r#","scopes":["a b"]"#), "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\".to_owned()),
        (format!(r#"["plaintext","{}"]"#, KEYS[0]), "the line is not one JSON object".to_owned()),
        (KEYS[0].to_owned(), "the line is not one JSON object".to_owned()),
        (format!(r#"{{"key":"{}""#, KEYS[0]), "the line is not one JSON object: see column 40".to_owned()),
        (row("plaintext", KEYS[0], "") + "x", "the line is not one JSON object: see column 96".to_owned()),
        (plain("") .replace('{', &format!("{{\"label\":\"{}\",", "x".repeat(70_000))), "the line is longer than 64 KiB".to_owned()),
    ];
    let lines: Vec<&str> = table.iter().map(|(line, _)| line.as_str()).collect();
    let good = row("plaintext", KEYS[2], "");
    let file = format!("{}\n{good}\n", lines.join("\n"));
    let ran = shell.batch("old.ndjson", &file, &UNLIMITED);
    assert_eq!(ran.code, 7);
    let got = results(&ran);
    for (at, (line, cause)) in table.iter().enumerate() {
        assert_eq!(
            got[at],
            format!("{}\tfailed\t{cause}", at + 1),
            "{line:.200}"
        );
    }
    // The lines after all of them were imported.
    assert_eq!(
        got[table.len()..],
        [format!("{}\timported\tID", table.len() + 1)]
    );
    assert_eq!(shell.count(), 1);
    for text in [&ran.stdout, &ran.stderr] {
        for secret in KEYS.iter().chain([&HASH, &"abcdefghijklmnop", &"hunter2"]) {
            assert!(!text.contains(secret), "{secret}");
        }
        assert_eq!(redact_keys(text), text.as_str());
    }
    // Bytes that are not text.
    let path = shell.folder.path().join("bytes.ndjson");
    std::fs::write(&path, b"{\"kind\":\"\xff\"}\n").unwrap();
    let ran = shell.run(&["import", "--batch", path.to_str().unwrap()]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (7, "1\tfailed\tthe line is not UTF-8\n")
    );
}

#[test]
fn tsv_has_no_quotes_no_escapes_and_the_columns_of_its_first_line() {
    let shell = Shell::new();
    let key = KEYS[0];
    let head = "kind\tkey\tsubject\texpires_at\tmetadata.plan\n";
    let file = format!(
        "\u{feff}{head}\
         plaintext\t\"{key}\"\talice\tnever\t\r\n\
         plaintext\t{key}\t\"alice\"\tnever\t\r\n\
         plaintext\t{key}\talice\tnever\t'gold'\r\n\
         plaintext\t{key}\\\\\talice\tnever\t\r\n\
         plaintext\t{key}\talice\t\\N\t\r\n\
         plaintext\t{key}\talice\tnever\r\n\
         \r\n\
         plaintext\t{key}\talice\tnever\tgold\r\n"
    );
    let ran = shell.batch("old.tsv", &file, &UNLIMITED);
    let quotes = |what: &str, line| {
        format!("{line}\tfailed\t{what} is in quotes, which TSV does not use; remove them")
    };
    let escape = |line| {
        format!(
            "{line}\tfailed\ta \\ in TSV may start an escape or be a plain character; write such lines as NDJSON"
        )
    };
    assert_eq!(
        results(&ran),
        [
            quotes("key", 2),
            quotes("subject", 3),
            quotes("metadata", 4),
            escape(5),
            escape(6),
            "7\tfailed\tthe line has 4 fields, but the first line has 5 columns".to_owned(),
            "9\timported\tID".to_owned(),
        ]
    );
    assert_eq!(shell.feed(key, &["check", "--accept-imports"]).code, 0);

    let names = "the first line of TSV must have the names of the columns, separated by tabs: kind, key, id, subject, scopes, caveats, expires_at, issued_at, not_before, label and metadata.NAME; column";
    for (first, problem) in [
        // The header line is missing, and the key in the first line is not repeated.
        (format!("plaintext\t{key}\talice"), "1 is not one of these"),
        ("key\tsubject\tkey".to_owned(), "3 is there a second time"),
        ("key\texpires".to_owned(), "2 is not one of these"),
        ("key\tmetadata.".to_owned(), "2 is not one of these"),
    ] {
        let ran = shell.batch("old.tsv", &format!("{first}\n"), &[]);
        assert_eq!(ran, failed(2, &format!("{names} {problem}")));
    }
    let empty = shell.batch("old.tsv", "", &[]);
    assert_eq!(
        empty,
        failed(
            2,
            "the file is empty; the first line of TSV must have the names of the columns"
        )
    );
}

#[test]
fn a_batch_comes_from_standard_input_too_with_a_format_that_is_said() {
    let shell = Shell::new();
    let line = json!({ "key": KEYS[0], "subject": "alice" }).to_string();
    let stdin = [
        "import",
        "--batch",
        "-",
        "--format",
        "ndjson",
        "--kind",
        "plaintext",
        "--expires-in",
        "30d",
    ];
    let ran = shell.feed(&line, &stdin);
    assert_eq!(
        (ran.code, results(&ran)),
        (0, vec!["1\timported\tID".to_owned()])
    );
    let again = shell.feed(&line, &stdin);
    assert_eq!(results(&again), ["1\tpresent\tID"]);

    let no_format = failed(
        2,
        "unknown format; use --format tsv or --format ndjson, or a file name that ends in .tsv, .ndjson or .jsonl",
    );
    assert_eq!(shell.feed(&line, &["import", "--batch", "-"]), no_format);
    assert_eq!(shell.batch("old.txt", &line, &[]), no_format);
    let missing = shell.run(&["import", "--batch", "nothing.tsv"]);
    assert_eq!(
        missing,
        failed(
            2,
            "nothing.tsv cannot be read: No such file or directory (os error 2)"
        )
    );
    let of_one = shell.run(&["import", "--batch", "-", "--subject", "alice"]);
    assert_eq!(
        of_one,
        failed(
            2,
            "the argument '--batch <FILE>' cannot be used with '--subject <SUBJECT>'; see --help"
        )
    );
}

#[test]
fn a_dry_run_sees_what_the_lines_of_the_file_make_of_one_another() {
    let shell = Shell::new();
    let file = tsv(&[KEYS[0], KEYS[1], KEYS[2], KEYS[0]]);
    let more = [
        "--max-lifetime",
        "unlimited",
        "--max-keys-per-subject",
        "2",
        "--dry-run",
    ];
    let ran = shell.batch("old.tsv", &file, &more);
    let too_many = "4\tfailed\ttoo many keys: this ring lets a subject hold 2; revoke a lineage first; use --max-keys-per-subject to raise the limit";
    let expected = [
        "2\twould_import\t",
        "3\twould_import\t",
        too_many,
        "5\tpresent\t",
    ];
    assert_eq!(
        (ran.code, results(&ran)),
        (7, expected.map(str::to_owned).to_vec())
    );
    let ran = shell.batch("old.tsv", &file, &more[..4]);
    let expected = [
        "2\timported\tID",
        "3\timported\tID",
        too_many,
        "5\tpresent\tID",
    ];
    assert_eq!(
        (ran.code, results(&ran)),
        (7, expected.map(str::to_owned).to_vec())
    );
}

#[test]
fn a_lifetime_beyond_the_policy_says_what_to_do() {
    let shell = Shell::new();
    let too_long = "lifetime too long: this ring grants at most 90d; let the imported key end sooner, or import it by a ring with a longer or unlimited lifetime; use --max-lifetime to raise the limit";
    let ran = shell.batch("old.tsv", &tsv(&KEYS[..1]), &[]);
    assert_eq!(
        (ran.code, results(&ran)),
        (7, vec![format!("2\tfailed\t{too_long}")])
    );
    let ran = shell.feed(KEYS[0], &["import", "--subject", "a", "--never-expires"]);
    assert_eq!(ran, failed(1, too_long));
}

#[test]
fn r33_a_single_import_says_its_end_and_keeps_its_day_of_issue() {
    let shell = Shell::new();
    let ran = shell.feed(KEYS[0], &["import", "--subject", "a"]);
    let line = "no expiry: an imported key has no default lifetime; use --expires-at with its old expiry, --expires-in for a new one, or --never-expires";
    assert_eq!(ran, failed(2, line));
    let quoted = shell.feed(
        &format!("\"{}\"", KEYS[0]),
        &["import", "--subject", "a", "--expires-in", "30d"],
    );
    assert_eq!(
        quoted,
        failed(
            2,
            "the key begins or ends with a quote; remove the quotes, or import the key with --digest if they are part of it"
        )
    );
    let ran = shell.feed(
        KEYS[0],
        &[
            "import",
            "--subject",
            "a",
            "--expires-in",
            "30d",
            "--issued-at",
            "2024-05-06T07:08:09Z",
            "--json",
        ],
    );
    assert_eq!(ran.json()["record"]["issued_at"], "2024-05-06T07:08:09Z");
    assert_eq!(shell.count(), 1);
}

/// If a store fails half-way, the lines before are imported. The next run imports the rest.
#[test]
fn a_batch_of_more_lines_than_one_commit_is_whole_and_resumable() {
    let shell = Shell::new();
    let keys: Vec<String> = (0..250)
        .map(|number| format!("sk_old_4f9A7YqZr01mLw8Vx6p{number:03}"))
        .collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let ran = shell.batch("old.tsv", &tsv(&keys[..130]), &UNLIMITED);
    assert_eq!(
        ran.stderr,
        "130 imported, 0 already there, 0 ended, 0 failed\n"
    );
    let ran = shell.batch("old.tsv", &tsv(&keys), &UNLIMITED);
    assert_eq!(
        ran.stderr,
        "120 imported, 130 already there, 0 ended, 0 failed\n"
    );
    let lines: Vec<String> = results(&ran)
        .iter()
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (2..252).map(|line| line.to_string()).collect();
    assert_eq!(lines, expected);
    let hidden = shell
        .command(&[
            "import",
            "--batch",
            "old.tsv",
            "--max-lifetime",
            "unlimited",
        ])
        .env("TOWER_API_KEY_STORE", "sqlite:nowhere.db")
        .output()
        .unwrap();
    let hidden = Ran::of(hidden);
    assert_eq!((hidden.code, hidden.stdout.as_str()), (5, ""));
    assert_eq!(ran.code, 0);
}

/// The same on a Postgres server, over several commits, with a limit for each subject.
#[tokio::test]
async fn a_batch_into_postgres_is_whole_and_resumable() {
    let mut shell = Shell::without_store();
    shell.store = tower_api_key_test_support::pg_server::database().await;
    let keys: Vec<String> = (0..150)
        .map(|number| format!("sk_old_4f9A7YqZr01mLw8Vx6p{number:03}"))
        .collect();
    let lines: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            let subject = format!("user-{}", at / 2);
            json!({ "kind": "plaintext", "key": key, "subject": subject, "expires_at": "never" })
                .to_string()
        })
        .collect();
    let more = [UNLIMITED[0], UNLIMITED[1], "--max-keys-per-subject", "2"];
    let ran = shell.batch("old.ndjson", &lines[..70].join("\n"), &more);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, "70 imported, 0 already there, 0 ended, 0 failed\n")
    );
    let ran = shell.batch("old.ndjson", &lines.join("\n"), &more);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, "80 imported, 70 already there, 0 ended, 0 failed\n")
    );
    assert_eq!(shell.count(), 150);
    for key in [&keys[0], &keys[149]] {
        assert_eq!(shell.feed(key, &["check", "--accept-imports"]).code, 0);
    }
}
