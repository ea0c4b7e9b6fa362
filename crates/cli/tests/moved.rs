//! A hundred old keys of four kinds are moved with the commands of the guide, and are accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tower::Layer;
use tower_api_key::{ApiKeyLayer, Grant, Import, KeyDigest, KeyRing, RequireScopeLayer, SecretKey};
use tower_api_key_sqlite::SqliteStore;

use super::{Ran, Shell};
use tower_api_key_test_support::support::{Inner, send, with_key};

const GUIDE: &str = include_str!("../../../src/guide/moving.rs");
const DRY: &str = "import --batch old.ndjson --max-lifetime unlimited --dry-run";
const IMPORT: &str = "import --batch old.ndjson --max-lifetime unlimited";

/// The secret part of an old key.
fn secret(number: usize) -> String {
    let digest = KeyDigest::sha256(format!("old key {number}").as_bytes());
    hexadecimal(&digest)[..40].to_owned()
}

fn hexadecimal(digest: &KeyDigest) -> String {
    let value = serde_json::to_value(digest).unwrap();
    value.as_str().unwrap().to_owned()
}

/// RFC 4648 §4, implemented independently of the program.
fn base64(digest: &KeyDigest) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        let digit = |at: usize| char::from(alphabet[(word >> (18 - 6 * at) & 63) as usize]);
        let digits: String = (0..=chunk.len()).map(digit).collect();
        format!("{digits:=<4}")
    };
    digest.as_bytes().chunks(3).map(encode).collect()
}

/// The text that a client presents.
fn presented(number: usize) -> String {
    let secret = secret(number);
    match number % 4 {
        0 => format!("sk_old_{secret}"),
        1 => secret,
        2 => format!("{number}|{secret}"),
        _ => format!("pk{number}.{secret}"),
    }
}

/// The old system's record of it, or `None` if a batch cannot hold it, as for the last kind.
fn kept(number: usize) -> Option<serde_json::Value> {
    let of = |text: &str| KeyDigest::sha256(text.as_bytes());
    let (kind, key) = match number % 4 {
        0 => ("plaintext", presented(number)),
        1 => {
            let digest = of(&presented(number));
            let standard = base64(&digest);
            match number % 3 {
                0 => ("sha256-hex", hexadecimal(&digest)),
                1 => ("sha256-base64", standard),
                _ => (
                    "sha256-base64url",
                    standard.replace('+', "-").replace('/', "_"),
                ),
            }
        }
        2 => ("sanctum", hexadecimal(&of(&secret(number)))),
        _ => return None,
    };
    let mut row = json!({
        "kind": kind, "key": key, "subject": format!("user-{number}"), "scopes": ["orders:read"],
        "issued_at": 1_700_000_000 + number, "expires_at": "never",
    });
    if kind == "sanctum" {
        row["id"] = json!(number);
    }
    Some(row)
}

/// `prefix.secret`, of which a foreign hash remains: here, the same computation.
fn in_the_old_table(presented: &SecretKey) -> Option<Import> {
    let (prefix, secret) = presented.expose().split_once('.')?;
    let number = prefix
        .strip_prefix("pk")
        .and_then(|number| number.parse().ok());
    let row = number.filter(|number| (0..100).contains(number) && number % 4 == 3);
    let number = row.filter(|&number| secret == self::secret(number))?;
    let grant = Grant::new(format!("user-{number}")).scopes(["orders:read"]);
    Some(Import::new(grant.never_expires()))
}

/// Runs a command from the guide.
#[track_caller]
fn run(shell: &Shell, command: &str) -> Ran {
    assert!(
        GUIDE.contains(&format!("//! tower-api-key {command}")),
        "{command}"
    );
    shell.run(&command.split(' ').collect::<Vec<_>>())
}

#[tokio::test]
async fn a_hundred_old_keys_of_four_kinds_are_moved_and_served() {
    let shell = Shell::new();
    let rows: Vec<String> = (0..100)
        .filter_map(kept)
        .map(|row| row.to_string())
        .collect();
    assert_eq!(rows.len(), 75);
    std::fs::write(shell.folder.path().join("old.ndjson"), rows.join("\n")).unwrap();
    let dry = run(&shell, DRY);
    assert_eq!(
        dry.stderr,
        "75 would be imported, 0 already there, 0 ended, 0 failed\n"
    );
    let moved = run(&shell, IMPORT);
    assert_eq!(
        (moved.code, moved.stderr.as_str()),
        (0, "75 imported, 0 already there, 0 ended, 0 failed\n")
    );
    let again = run(&shell, IMPORT);
    assert_eq!(
        (again.code, again.stderr.as_str()),
        (0, "0 imported, 75 already there, 0 ended, 0 failed\n")
    );
    for ran in [&dry, &moved, &again] {
        for row in (0..100).filter_map(kept) {
            assert!(!ran.stdout.contains(row["key"].as_str().unwrap()));
        }
    }

    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .accept_sanctum_tokens()
        .unlimited_lifetime()
        .unknown_keys(move |presented: SecretKey| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move { Ok(in_the_old_table(&presented)) }
        })
        .build(SqliteStore::open_existing(shell.folder.keys()).unwrap())
        .unwrap();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring.clone())
        .layer(RequireScopeLayer::new("orders:read").layer(inner.clone()));
    for round in 1..=2 {
        for number in 0..100 {
            let key = presented(number);
            assert_eq!(send(&service, with_key(&key)).await.status, 200, "{key}");
            let verified = ring.verify(key.as_bytes()).await.unwrap();
            assert_eq!(*verified.subject(), format!("user-{number}"));
        }
        assert_eq!(inner.calls(), 100 * round);
        assert_eq!(
            asked.load(Ordering::Relaxed),
            25,
            "once for each of the fourth kind"
        );
    }
    // No text near an old key is one.
    for number in 0..100 {
        let mut key = presented(number).into_bytes();
        let last = key.last_mut().unwrap();
        *last = if *last == b'0' { b'1' } else { b'0' };
        let key = String::from_utf8(key).unwrap();
        assert_eq!(send(&service, with_key(&key)).await.status, 401, "{key}");
    }
    let listed = shell.run(&["list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 100);
    let mut first = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["subject"] == "user-4");
    assert_eq!(first.next().unwrap()["issued_at"], "2023-11-14T22:13:24Z");
}
