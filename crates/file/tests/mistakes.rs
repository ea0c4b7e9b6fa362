//! Files that are refused: each error names the line and the field, and repeats no secret.

use std::error::Error;
use std::fs;

use tower_api_key::store::StoreErrorKind::{Corrupt, Unavailable};
use tower_api_key_file::FileStore;

use super::{Kept, Key, message_of, write};
use tower_api_key_test_support::folder::Folder;

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const OTHER: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";
const FIELDS: &str = "no such field; the fields are digest, subject, scopes, caveats, expires_at, \
                      never_expires, not_before, realm, id, label, metadata";
const MOMENT: &str = "expected Unix seconds or an RFC 3339 time, such as 2027-01-15T08:00:00Z";
const FOUND: &str = "this looks like a key in plaintext; write its SHA-256 as `digest`, and \
                     replace the key, because anyone who could read the file has it";
const NO_DIGEST: &str =
    "digest: expected the SHA-256 of a key, 64 hexadecimal digits, and not the key itself";

/// A TOML file of one key, with this line 6 instead of its expiry.
fn toml(line: &str) -> String {
    format!(
        "realm = \"orders\"\n[[keys]]\ndigest = \"{DIGEST}\"\nsubject = \"alice\"\nscopes = []\n\
         {line}\nlabel = \"x\"\n"
    )
}

/// As [`toml`], in JSON.
fn json(line: &str) -> String {
    format!(
        "{{\"realm\": \"orders\", \"keys\": [{{\n\n\"digest\": \"{DIGEST}\",\n\
         \"subject\": \"alice\", \"scopes\": [],\n\n{line},\n\"label\": \"x\"}}]}}"
    )
}

/// Asserts the error of opening this file.
#[track_caller]
fn refused(name: &str, text: &str, message: &str) {
    let folder = Folder::new();
    let path = folder.path().join(name);
    write(&path, text);
    let error = FileStore::options().unwatched().open(&path).unwrap_err();
    assert_eq!(message_of(&error, &path), message, "{text}");
    assert_eq!(error.kind(), Corrupt);
    assert_eq!(error.to_string(), "the store is damaged");
    assert!(error.source().unwrap().source().is_none());
}

#[test]
fn r27_a_restriction_that_this_version_does_not_know_refuses_the_file() {
    let message = format!(", line 7: net: {FIELDS}");
    let text = toml("expires_at = 1\nnet = \"10.0.0.0/8\"");
    refused("keys.toml", &text, &message);
}

#[test]
fn a_field_that_holds_the_wrong_thing_is_named_with_its_line() {
    for (in_toml, in_json, message) in [
        (
            "expires_at = true",
            "\"expires_at\": true",
            format!("expires_at: {MOMENT}"),
        ),
        (
            "expires_at = -1",
            "\"expires_at\": -1",
            format!("expires_at: {MOMENT}"),
        ),
        (
            "expires_at = 1.5",
            "\"expires_at\": 1.5",
            format!("expires_at: {MOMENT}"),
        ),
        (
            "expires_at = []",
            "\"expires_at\": null",
            format!("expires_at: {MOMENT}"),
        ),
        (
            "expires_at = 2027-01-15",
            "\"expires_at\": \"2027-01-15\"",
            format!("expires_at: {MOMENT}"),
        ),
        (
            "expires_at = 2027-01-15T08:00:00",
            "\"expires_at\": \"tomorrow\"",
            format!("expires_at: {MOMENT}"),
        ),
        (
            "not_before = \"\"",
            "\"not_before\": \"\"",
            format!("not_before: {MOMENT}"),
        ),
        (
            "never_expires = \"yes\"",
            "\"never_expires\": \"yes\"",
            "never_expires: expected true or false".to_owned(),
        ),
        (
            "id = \"0123456789A\"",
            "\"id\": \"0123456789A\"",
            "id: invalid key id: expected the 12 characters before the last _ of a key".to_owned(),
        ),
        (
            "realm = \"\"",
            "\"realm\": \"\"",
            "realm: invalid realm: use 1 to 64 printable ASCII characters without \" and \\"
                .to_owned(),
        ),
        (
            "metadata = { a = 1 }",
            "\"metadata\": {\"a\": 1}",
            "metadata: expected a string".to_owned(),
        ),
        (
            "metadata = \"a\"",
            "\"metadata\": \"a\"",
            "metadata: expected a table of strings".to_owned(),
        ),
        (
            "expires = 1900000000",
            "\"expires\": 1900000000",
            format!("expires: {FIELDS}"),
        ),
        ("\"s3cret!\" = 1", "\"s3cret!\": 1", FIELDS.to_owned()),
    ] {
        let message = format!(", line 6: {message}");
        refused("keys.toml", &toml(in_toml), &message);
        refused("keys.json", &json(in_json), &message);
    }
    let fine = "expires_at = 1900000000";
    for (from, to, line, message) in [
        (DIGEST, "deadbeef", 3, NO_DIGEST),
        ("\"alice\"", "5", 4, "subject: expected a string"),
        (
            "alice",
            "",
            4,
            "subject: invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start",
        ),
        ("[]", "\"read\"", 5, "scopes: expected a list of strings"),
        ("[]", "[1]", 5, "scopes: expected a string"),
        (
            "[]",
            "[\"read write\"]",
            5,
            "scopes: invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\",
        ),
    ] {
        let text = toml(fine).replacen(from, to, 1);
        refused("keys.toml", &text, &format!(", line {line}: {message}"));
    }
}

#[test]
fn a_field_that_is_missing_or_given_twice_is_named() {
    let fine = "expires_at = 1900000000";
    for (line, message) in [
        (format!("digest = \"{DIGEST}\"\n"), "digest is missing"),
        ("subject = \"alice\"\n".to_owned(), "subject is missing"),
        ("scopes = []\n".to_owned(), "scopes is missing"),
        (
            format!("{fine}\n"),
            "expires_at is missing; if the key must not expire, set never_expires to true",
        ),
    ] {
        let text = toml(fine).replace(&line, "");
        refused("keys.toml", &text, &format!(", line 2: {message}"));
    }
    refused(
        "keys.toml",
        &toml(&format!("{fine}\nnever_expires = true")),
        ", line 2: expires_at and never_expires are both given; keep one of them",
    );
    refused(
        "keys.toml",
        &toml(&format!("{fine}\nnot_before = 1900000000")),
        ", line 2: expires_at is not after not_before, so the key is never valid",
    );
    refused(
        "keys.toml",
        &toml(fine).replace("realm = \"orders\"", ""),
        ", line 3: realm is missing; name it here, or once for all keys of the file",
    );
    refused(
        "keys.toml",
        &toml(&format!("{fine}\n{fine}")),
        ", line 7: duplicate key",
    );
    refused(
        "keys.json",
        &json("\"expires_at\": 1900000000,\n\"subject\": \"bob\""),
        ", line 7: subject: the field is given twice",
    );
    refused(
        "keys.json",
        &json("\"expires_at\": 1900000000,\n\"metadata\": {\"a\": \"1\", \"a\": \"2\"}"),
        ", line 7: metadata: a name is given twice",
    );
    refused(
        "keys.json",
        &json("\"realm\": \"orders\""),
        ", line 7: expires_at is missing; if the key must not expire, set never_expires to true",
    );
    for name in ["keys.toml", "keys.json"] {
        let text = if name == "keys.json" { "{}" } else { "" };
        refused(
            name,
            text,
            ", line 1: keys is missing; if the file has no keys, make `keys` an empty list",
        );
    }
}

#[test]
fn two_keys_of_one_digest_or_one_id_are_refused() {
    let key = |digest: &str, id: &str| {
        format!(
            "[[keys]]\ndigest = \"{digest}\"\nid = \"{id}\"\nsubject = \"alice\"\nscopes = []\n\
             never_expires = true\n"
        )
    };
    let (first, second) = ("0123456789Ab", "0123456789Ac");
    let two = |a: String, b: String| format!("realm = \"orders\"\n{a}{b}");
    refused(
        "keys.toml",
        &two(key(DIGEST, first), key(DIGEST, second)),
        ", line 9: digest: another key of this file has the same one (id 0123456789Ac)",
    );
    refused(
        "keys.toml",
        &two(key(DIGEST, first), key(OTHER, first)),
        ", line 9: id: another key of this file has 0123456789Ab too",
    );
}

#[test]
fn what_is_no_toml_and_no_json_is_named_with_its_line() {
    refused(
        "keys.toml",
        &toml("expires_at 1900000000"),
        ", line 6: key with no value, expected `=`",
    );
    refused(
        "keys.json",
        &json("\"expires_at\" 1900000000"),
        ", line 6: expected `:`",
    );
    refused(
        "keys.json",
        "{\"keys\": []}\n}",
        ", line 2: trailing characters",
    );
    refused(
        "keys.json",
        "[]",
        ", line 1: expected an object with `keys`",
    );
    refused("keys.toml", "keys = 1", ", line 1: expected a list of keys");
}

#[test]
fn what_is_not_text_is_named_with_its_line() {
    let folder = Folder::new();
    let path = folder.path().join("keys.toml");
    fs::write(&path, b"realm = \"orders\"\n# \xff\n").unwrap();
    let error = FileStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), Corrupt);
    assert_eq!(message_of(&error, &path), ", line 2: this is not UTF-8");
}

/// The error never contains the key, and the file is never in force.
#[tokio::test]
async fn r08_a_key_in_plaintext_is_refused_and_not_repeated() {
    let key = Key::mint().await.plaintext;
    let (start, last) = key.split_at(key.len() - 1);
    let hidden = format!("{start}\\u{:04x}", last.as_bytes()[0]);
    let fine = "expires_at = 1900000000";
    for text in [
        toml(fine).replace(DIGEST, &key),
        toml(fine).replace("alice", &key),
        toml(fine).replace("[]", &format!("[\"{key}\"]")),
        toml(&format!("{fine} # {key}")),
        toml(&format!("{fine}\n{key} = 1")),
        toml(&format!("metadata = {{ key = \"{key}\" }}")),
        toml(&key),
        toml(fine).replace("alice", &hidden),
        toml(&format!("metadata = {{ \"{hidden}\" = \"x\" }}")),
        toml(&format!("\"{hidden}\" = \"x\"")),
    ] {
        let line = 1 + text[..text.find(&key).or(text.find(&hidden)).unwrap()]
            .matches('\n')
            .count();
        let folder = Folder::new();
        let path = folder.path().join("keys.toml");
        write(&path, &text);
        let error = FileStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), Corrupt);
        let message = message_of(&error, &path);
        let named = message.starts_with(&format!(", line {line}: "));
        let said = message.ends_with(FOUND) || message.ends_with(FIELDS);
        assert!(named && said, "{message} {text}");
        let everything = format!("{message}{error:?}");
        assert!(!everything.contains(&key[5..]), "{everything}");
    }
}

/// A secret of another shape cannot be distinguished from other text, except in the place of the digest.
#[test]
fn r06_whatever_stands_in_a_field_is_not_repeated() {
    let secret = "hunter2-Legacy.token~9f3A7b2C5d8E1f4G6h0J";
    let fine = "expires_at = 1900000000";
    for text in [
        toml(fine).replace(DIGEST, secret),
        toml(&format!("expires_at = \"{secret}\"")),
        toml(&format!("never_expires = \"{secret}\"")),
        toml(&format!("metadata = \"{secret}\"")),
        toml(&format!("id = \"{secret}\"")),
        toml(&format!("\"{secret}\" = 1")),
        toml(secret),
        format!("keys = \"{secret}\""),
        format!("keys = [\"{secret}, expected\"]"),
        toml(fine).replace("[]", &format!("\"{secret}\"")),
        toml(fine).replace("[]", &format!("[\"{secret} \"]")),
    ] {
        for (name, text) in [("keys.toml", text.clone()), ("keys.json", as_json(&text))] {
            let folder = Folder::new();
            let path = folder.path().join(name);
            write(&path, &text);
            let error = FileStore::open(&path).unwrap_err();
            assert_eq!(error.kind(), Corrupt);
            let everything = format!("{}{error:?}", message_of(&error, &path));
            assert!(!everything.contains("hunter2"), "{everything}");
        }
    }
}

/// The same lines as members of an object, well-formed or not.
fn as_json(toml: &str) -> String {
    let members: Vec<String> = toml
        .lines()
        .skip(2)
        .map(|line| match line.split_once(" = ") {
            Some((name, value)) => format!("\"{}\": {value}", name.trim_matches('"')),
            None => line.to_owned(),
        })
        .collect();
    let members = members.join(",\n");
    format!("{{\"realm\": \"orders\", \"keys\": [{{{members}}}]}}")
}

#[test]
fn a_file_that_cannot_be_read_is_unavailable() {
    let folder = Folder::new();
    let missing = folder.path().join("keys.toml");
    let directory = folder.path().join("folder.json");
    let yaml = folder.path().join("keys.yaml");
    fs::create_dir(&directory).unwrap();
    write(&yaml, "keys: []");
    for (path, message) in [
        (
            missing,
            ": the file cannot be read: No such file or directory (os error 2)",
        ),
        (directory, ": this is not a file"),
        (yaml, ": the name of a keys file must end in .toml or .json"),
    ] {
        let error = FileStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), Unavailable);
        assert_eq!(message_of(&error, &path), message);
    }
}

#[tokio::test]
async fn the_last_good_file_stays_in_force() {
    let key = Key::mint().await;
    let good = format!("realm = \"orders\"\n{}", key.alice());
    let kept = Kept::new(&good);
    for broken in [
        "",
        "keys = ",
        "nonsense",
        "keys = [1]",
        "realm = \"orders\"",
    ] {
        let error = kept.reload(broken).unwrap_err();
        assert_eq!(error.kind(), Corrupt);
        assert_eq!(kept.verify(&key).await.unwrap(), "alice read write");
    }
    fs::remove_file(&kept.path).unwrap();
    assert_eq!(kept.store.reload().unwrap_err().kind(), Unavailable);
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read write");
    kept.reload(&good).unwrap();
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read write");
}
