//! The places of a key, as the layer, the scanner's pattern and real scanners see them.

use std::io::Write;
use std::process::{Command, Stdio};

use http::header::REFERER;
use proptest::proptest;
use regex::bytes::{Regex, RegexBuilder};
use tower::Layer;
use tower_api_key::{ApiKeyLayer, KeyRing, redact_keys, store::MemoryStore};

use crate::events::Recorder;
use crate::support::{Inner, X_API_KEY, issue, request, send};

/// The text before and after a key in real places.
const PLACES: [(&str, &str); 22] = [
    ("", ""),
    ("x-api-key: ", "\r"),
    ("{\"key\":\"", "\"}"),
    ("KEY=", ";"),
    ("https://example.com/?k=", "&x=1"),
    ("\u{1b}[31m", "\u{1b}[0m"),
    ("\u{1b}[1;31m\u{1b}[K", "\u{1b}[m\u{1b}[K"),
    ("\"line\\n", "\\nline\""),
    ("\"\\t", "\\t\""),
    ("\\u003d", "\\u0026"),
    ("%3D", "%26"),
    ("a%20", "%20b"),
    ("KEY_", "_KEY"),
    ("export_", "_"),
    ("x", "y"),
    ("AAAAAAAA", "00000000"),
    ("Bearer", "Bearer"),
    ("acme_", "acme_"),
    ("acme_000000000000_", ""),
    ("\u{e9}", "\u{e9}"),
    ("<b>", "</b>"),
    ("u003e", "u003c"),
];

fn engine(pattern: &str) -> Regex {
    // As scanners read it: over bytes, ASCII only. The crate has the syntax and the limits of RE2.
    RegexBuilder::new(pattern).unicode(false).build().unwrap()
}

async fn texts() -> (KeyRing, Vec<(String, String)>) {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let mut texts = Vec::new();
    for (before, after) in PLACES {
        let key = issue(&ring, "read").await.secret().expose().to_owned();
        texts.push((format!("{before}{key}{after}"), key));
    }
    (ring, texts)
}

#[tokio::test]
async fn r05_r06_the_layer_the_pattern_and_the_redaction_find_a_key_in_the_same_places() {
    let (ring, texts) = texts().await;
    let pattern = engine(&ring.scanner_pattern());
    let recorder = Recorder::default();
    let layer = ApiKeyLayer::new(ring).observer(recorder.clone());
    for (text, key) in texts {
        let found = pattern.find(text.as_bytes()).unwrap();
        assert_eq!(found.as_bytes(), key.as_bytes(), "{text}");
        assert_eq!(pattern.find_iter(text.as_bytes()).count(), 1, "{text}");

        let redacted = redact_keys(&text);
        assert!(!redacted.contains(&key[5..]), "{redacted}");
        assert!(redacted.contains("(a key)"), "{redacted}");

        // A header holds no control characters.
        let text: String = text.chars().filter(|at| !at.is_control()).collect();
        send(&layer.layer(Inner::new()), request([(REFERER, &text)])).await;
        let claimed = recorder.take()[0].claimed.map(|id| id.to_string());
        assert_eq!(claimed.as_deref(), Some(&key[5..17]), "{text}");
    }
}

proptest! {
    /// For any texts around it.
    #[test]
    fn r05_r06_a_key_is_found_between_any_two_texts(
        before in "[ -~\u{80}-\u{ff}]{0,60}",
        after in "[ -~\u{80}-\u{ff}]{0,60}",
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
            let key = issue(&ring, "read").await.secret().expose().to_owned();
            let pattern = engine(&ring.scanner_pattern());
            let text = format!("{before}{key}{after}");
            let found = pattern.find_iter(text.as_bytes()).any(|found| found.as_bytes() == key.as_bytes());
            assert!(found);
            assert!(!redact_keys(&text).contains(&key[18..]));
            let recorder = Recorder::default();
            let layer = ApiKeyLayer::new(ring).observer(recorder.clone());
            let presented = request([(REFERER, &text), (X_API_KEY, &key)]);
            let response = send(&layer.layer(Inner::new()), presented).await;
            assert_eq!(response.status, http::StatusCode::BAD_REQUEST);
        });
    }
}

/// Pipes the texts, one per line, through a program that prints the matches. Returns the lines of its
/// output, or `None` if the program is not there.
fn scan(program: &str, arguments: &[&str], texts: &[(String, String)]) -> Option<Vec<String>> {
    let spawned = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            crate::support::not_run(format_args!("the scanner {program} {arguments:?}: {error}"));
            return None;
        }
    };
    let mut lines = String::new();
    for (text, _) in texts {
        lines.push_str(text);
        lines.push('\n');
    }
    // A few kilobytes, which fit into a pipe. Dropped, so that the program sees the end.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let absent = ["PCRE2 is not available", "not supported", "No module named"];
    if absent.iter().any(|text| error.contains(text)) {
        crate::support::not_run(format_args!("the scanner {program} {arguments:?}: {error}"));
        return None;
    }
    assert!(output.status.success(), "{program}: {error}");
    let output = String::from_utf8(output.stdout).unwrap();
    Some(output.lines().map(str::to_owned).collect())
}

/// ripgrep is the Rust engine, with `-P` PCRE2. Python and POSIX have their own engines. The
/// engine of gitleaks and trufflehog is Go's `regexp`, which is RE2's syntax: the pattern has
/// nothing in it but literals, classes and counts, which all of them read alike.
#[tokio::test]
async fn r05_real_scanners_find_a_key_wherever_it_stands() {
    const PYTHON: &str = "import ENGINE as re, sys
for line in sys.stdin.buffer:
    for found in re.findall(sys.argv[1].encode(), line):
        print(found.decode())";

    let (ring, texts) = texts().await;
    let pattern = ring.scanner_pattern();
    let [python, re2] = ["re", "re2"].map(|engine| PYTHON.replace("ENGINE", engine));
    let literals = ["acme_", "[0-9A-Za-z]", "{12}", "_", "[0-9A-Za-z]", "{32}"];
    assert_eq!(pattern, literals.concat());
    let expected: Vec<String> = texts.iter().map(|(_, key)| key.clone()).collect();
    for (program, arguments) in [
        ("rg", vec!["--no-config", "-a", "-o", "--", &pattern]),
        ("rg", vec!["--no-config", "-a", "-o", "-P", "--", &pattern]),
        ("grep", vec!["-a", "-o", "-E", "--", &pattern]),
        ("grep", vec!["-a", "-o", "-P", "--", &pattern]),
        ("python3", vec!["-c", &python, &pattern]),
        // Google's own, of the package `google-re2`.
        ("python3", vec!["-c", &re2, &pattern]),
    ] {
        if let Some(found) = scan(program, &arguments, &texts) {
            assert_eq!(found, expected, "{program} {arguments:?}");
        }
    }
}
