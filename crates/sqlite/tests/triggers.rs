//! The changes that the database itself refuses, attempted in SQL.

use rusqlite::Connection;
use rusqlite::types::Value;

use tower_api_key_sqlite::SqliteStore;
use tower_api_key_test_support::folder::Folder;

const IDENTITY: &str = "api_keys: id, realm, digest, pepper_version, subject, issued_at, \
                        not_before, lineage and generation never change";
const REVOCATION: &str = "api_keys: a revocation is for good";
const EXPIRY: &str = "api_keys: expires_at never moves later";
const RETIREMENT: &str = "api_keys: retire_at never moves later";
const SCOPES: &str = "api_keys: a key gains no scope";
const VERSION: &str = "api_keys: a change raises the version by one";
const DESCRIPTION: &str = "api_keys: label and metadata change by themselves";
const UNREADABLE: &str = "api_keys: id, lineage, realm, subject or scopes cannot be read";
const TEXTS: &str = "api_keys: metadata is an object of texts";
const DESCRIBED_UTF_8: &str = "api_keys: label or metadata is not UTF-8, or has U+0000";
const UTF_8: &str = "api_keys: subject, label or metadata is not UTF-8, or has U+0000";
const SUBJECT: &str = "api_keys: the subject cannot be read";
const LABEL: &str = "api_keys: the label cannot be read";
const METADATA: &str = "api_keys: the metadata cannot be read";
const HIGH: &str = "api_keys: the version is too high";
const PREFIX: &str = "api_keys: prefix never changes";
const NO_PREFIX: &str = "api_keys: the prefix cannot be read";
const CAVEATS: &str = "api_keys: a key loses no caveat";
const NO_CAVEATS: &str = "api_keys: the caveats cannot be read";
const USE: &str = "api_keys: last_used_at never moves back";
const TAKEN: &str = "api_keys: the id or the digest is taken";

/// A key with a value in every field, except the revocation.
pub(super) const KEY: &str = "INSERT INTO api_keys (id, realm, digest, pepper_version, subject, \
     scopes, issued_at, not_before, expires_at, retire_at, lineage, generation, version, label, \
     metadata, prefix, last_used_at) VALUES ('AAAAAAAAAAAA', 'orders', zeroblob(32), 1, 'alice', \
     'read write', 100, 100, 500, 400, 'AAAAAAAAAAAA', 1, 3, 'laptop', '{}', 'acme', 200)";

/// The schema as a store creates it, on a plain SQLite connection, with these keys.
pub(super) fn database(folder: &Folder, keys: &[&str]) -> Connection {
    let path = folder.fresh();
    drop(SqliteStore::open(&path).unwrap());
    let connection = Connection::open(path).unwrap();
    for key in keys {
        connection.execute(key, []).unwrap();
    }
    connection
}

fn rows(connection: &Connection) -> Vec<Vec<Value>> {
    let mut statement = connection
        .prepare("SELECT * FROM api_keys ORDER BY id")
        .unwrap();
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| {
            (0..columns).map(|column| row.get(column)).collect()
        })
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[track_caller]
fn refused(connection: &Connection, statement: &str, message: &str) {
    let before = rows(connection);
    let error = connection.execute(statement, []).expect_err(statement);
    let said = match &error {
        rusqlite::Error::SqliteFailure(_, Some(said)) => said,
        other => panic!("{statement}: {other}"),
    };
    assert_eq!(said, message, "{statement}");
    assert_eq!(rows(connection), before, "{statement}");
}

/// Each as the part of an `UPDATE` after `SET`.
#[track_caller]
fn all_refused(key: &str, edits: &[&str], message: &str) {
    let folder = Folder::new();
    let connection = database(&folder, &[key]);
    // If the version is not the fault, it rises, so that only one trigger applies.
    let version = if message == VERSION {
        ""
    } else {
        "version = version + 1, "
    };
    for edit in edits {
        for update in ["UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE"] {
            refused(
                &connection,
                &format!("{update} api_keys SET {version}{edit}"),
                message,
            );
        }
    }
}

#[test]
fn invariant_1_what_a_key_is_never_changes() {
    let edits = [
        "id = 'BBBBBBBBBBBB'",
        "realm = 'billing'",
        "digest = randomblob(32)",
        "pepper_version = 2",
        "pepper_version = NULL",
        "subject = 'mallory'",
        "issued_at = 101",
        "not_before = 50",
        "not_before = 150",
        "lineage = 'BBBBBBBBBBBB'",
        "generation = 2",
    ];
    all_refused(KEY, &edits, IDENTITY);
    let unpeppered = KEY.replace("zeroblob(32), 1,", "zeroblob(32), NULL,");
    all_refused(&unpeppered, &["pepper_version = 1"], IDENTITY);
}

#[test]
fn invariant_2_a_revocation_is_for_good() {
    let revoked = KEY
        .replace("label,", "revoked_at, revocation_reason, label,")
        .replace("'laptop'", "300, 'superseded', 'laptop'");
    let edits = [
        "revoked_at = NULL, revocation_reason = NULL",
        "revoked_at = 301",
        "revoked_at = 299",
        "revocation_reason = 'unspecified'",
    ];
    all_refused(&revoked, &edits, REVOCATION);
}

#[test]
fn invariant_1_a_key_ends_no_later() {
    all_refused(KEY, &["expires_at = 501", "expires_at = NULL"], EXPIRY);
}

#[test]
fn invariant_5_a_grace_is_never_rearmed() {
    all_refused(KEY, &["retire_at = 401", "retire_at = NULL"], RETIREMENT);
}

#[test]
fn invariant_1_a_key_gains_no_scope() {
    let edits = [
        "scopes = 'admin'",
        "scopes = 'admin read write'",
        "scopes = 'rea'",
        "scopes = 'read write:all'",
        "scopes = 'readwrite'",
        "scopes = 'READ'",
        // A value that would be two scopes, or none, in the list that the trigger makes of it.
        r#"scopes = 'read","admin'"#,
        r"scopes = 'read\u0020write'",
        "scopes = 'read' || char(9) || 'write'",
        "scopes = 'read' || char(233)",
    ];
    all_refused(KEY, &edits, SCOPES);
    let none = KEY.replace("'read write'", "''");
    all_refused(&none, &["scopes = 'read'", "scopes = 'a b'"], SCOPES);
}

#[test]
fn invariant_14_a_key_loses_no_caveat() {
    let edits = [
        "caveats = ''",
        "caveats = 'moon=full'",
        "caveats = 'net=10.0.0.0/8'",
        "caveats = 'moon=fullnet=10.0.0.0/8'",
        "caveats = 'moon=full  net=10.0.0.0/8'",
        "caveats = ' moon=full net=10.0.0.0/8'",
        r#"caveats = 'moon=full","net=10.0.0.0/8'"#,
        r"caveats = 'moon=full\u0020net=10.0.0.0/8'",
        "caveats = 'moon=full net=10.0.0.0/8 ' || replace(hex(zeroblob(600)), '0', 'a')",
        "caveats = 'moon=full net=10.0.0.0/8 ' || char(9)",
        "caveats = 'moon=full net=10.0.0.0/8 ' || replace(hex(zeroblob(2100)), '00', 'aa')",
    ];
    let restricted = KEY
        .replace("prefix,", "prefix, caveats,")
        .replace("'acme',", "'acme', 'moon=full net=10.0.0.0/8',");
    all_refused(&restricted, &edits, CAVEATS);
    all_refused(KEY, &[r#"caveats = 'a"b'"#, "caveats = ' '"], CAVEATS);

    let folder = Folder::new();
    let connection = database(&folder, &[&restricted]);
    let more =
        "UPDATE api_keys SET version = version + 1, caveats = 'a=1 moon=full net=10.0.0.0/8'";
    assert_eq!(connection.execute(more, []), Ok(1));
    let long = "a".repeat(1025);
    for caveats in [&*long, " a", "a  b", "a\"b", "a\\b", "\u{e9}"] {
        let other = KEY
            .replace("prefix,", "prefix, caveats,")
            .replace("'acme',", &format!("'acme', '{caveats}',"))
            .replace("'AAAAAAAAAAAA'", "'BBBBBBBBBBBB'")
            .replace("zeroblob(32)", "randomblob(32)");
        refused(&connection, &other, NO_CAVEATS);
    }
}

#[test]
fn invariant_6_every_change_raises_the_version() {
    let edits = [
        "scopes = 'read'",
        "caveats = 'a=1'",
        "expires_at = 499",
        "retire_at = 399",
        "revoked_at = 300, revocation_reason = 'unspecified'",
        "version = 2",
        "version = 5",
        "version = 5, scopes = 'read'",
        "version = 4611686018427387904",
        "version = 9223372036854775807",
        "version = 5, revoked_at = 300, revocation_reason = 'unspecified'",
        "version = 9223372036854775807, revoked_at = 300, revocation_reason = 'unspecified'",
        "version = 2, scopes = 'read'",
        "version = 2, last_used_at = 300",
    ];
    all_refused(KEY, &edits, VERSION);
}

#[test]
fn invariant_1_what_a_key_is_issued_with_stays() {
    all_refused(KEY, &["prefix = 'acme_live'", "prefix = NULL"], PREFIX);
    let imported = KEY.replace("'acme'", "NULL");
    all_refused(&imported, &["prefix = 'acme'"], PREFIX);
}

#[test]
fn invariant_1_label_and_metadata_change_by_themselves() {
    let authority = [
        "scopes = 'read'",
        "caveats = 'a=1'",
        "expires_at = 499",
        "retire_at = 399",
        "revoked_at = 300, revocation_reason = 'unspecified'",
    ];
    for description in [
        "label = 'phone'",
        "label = NULL",
        r#"metadata = '{"team":"blue"}'"#,
    ] {
        let edits = authority.map(|edit| format!("{description}, {edit}"));
        all_refused(KEY, &edits.each_ref().map(String::as_str), DESCRIPTION);
        let both = |edit: &str| format!("{description}, {edit}");
        let edits = ["version = 3", "version = 5", "version = 2"].map(both);
        all_refused(KEY, &edits.each_ref().map(String::as_str), VERSION);
    }
    let revoked = KEY
        .replace("label,", "revoked_at, revocation_reason, label,")
        .replace("'laptop'", "300, 'superseded', 'laptop'");
    let folder = Folder::new();
    for key in [KEY, &revoked] {
        let connection = database(&folder, &[key]);
        for edit in [
            "label = 'phone'",
            "label = NULL",
            "label = '\u{5bc6} \u{fffe}'",
            r#"metadata = '{"team":"blue","caf\u00e9":"\ud83d"}'"#,
            "label = 'laptop', metadata = '{}'",
            "label = 'phone', last_used_at = 201",
        ] {
            let edit = edit.replace(r"\ud83d", "\u{1f511}");
            let edit = format!("UPDATE api_keys SET {edit}, version = version + 1");
            assert_eq!(connection.execute(&edit, []), Ok(1), "{edit}");
        }
    }
}

#[test]
fn invariant_13_no_description_comes_in_that_cannot_be_read() {
    let texts = [
        r#"metadata = '{"a":1}'"#,
        r#"metadata = '{"a":{"b":"c"}}'"#,
        r#"metadata = '{"a":"\ud800"}'"#,
        "metadata = '{}' || char(0) || 'x'",
    ];
    all_refused(KEY, &texts, TEXTS);
    let bytes = [
        "label = CAST(x'ff' AS TEXT)",
        "label = 'a' || char(0)",
        "label = CAST(x'eda080' AS TEXT)",
        r#"metadata = '{"a":"' || CAST(x'c328' AS TEXT) || '"}'"#,
    ];
    all_refused(KEY, &bytes, DESCRIBED_UTF_8);
}

#[test]
fn invariant_13_no_row_comes_in_that_cannot_be_read() {
    let folder = Folder::new();
    let connection = database(&folder, &[]);
    let with = |old: &str, new: &str| {
        assert!(KEY.contains(old), "{old}");
        KEY.replacen(old, new, 1)
    };
    let nul = |text: &str| format!("'{text}' || char(0) || 'x'");
    for (old, new, message) in [
        (
            "('AAAAAAAAAAAA'",
            &*format!("({}", nul("AAAAAAAAAAAA")),
            UNREADABLE,
        ),
        (
            "400, 'AAAAAAAAAAAA'",
            &format!("400, {}", nul("AAAAAAAAAAAA")),
            UNREADABLE,
        ),
        ("'orders'", &nul("orders"), UNREADABLE),
        ("'orders'", "'caf\u{e9}'", UNREADABLE),
        ("'orders'", "'a\"b'", UNREADABLE),
        ("'orders'", "'a\\b'", UNREADABLE),
        ("'alice'", &nul("alice"), UNREADABLE),
        ("'alice'", "'a' || char(10)", UNREADABLE),
        ("'alice'", "'a' || char(127)", UNREADABLE),
        ("'alice'", "'a' || char(133)", UNREADABLE),
        ("'read write'", &nul("read"), UNREADABLE),
        (
            "'read write'",
            &format!("'read {}'", "a".repeat(129)),
            UNREADABLE,
        ),
        ("'{}'", r#"'{"a":1}'"#, TEXTS),
        ("'{}'", r#"'{"a":null}'"#, TEXTS),
        ("'{}'", r#"'{"a":"b","c":["d"]}'"#, TEXTS),
        ("'{}'", r#"'{"a":{"b":"c"}}'"#, TEXTS),
        ("'{}'", r#"'{"a":"\ud800"}'"#, TEXTS),
        ("'{}'", r#"'{"\\\udC00":"a"}'"#, TEXTS),
        ("'{}'", "'{}' || char(0) || 'x'", TEXTS),
        ("'{}'", r#"'{"\u0000":"a"}'"#, METADATA),
        ("'{}'", r#"'{"a":"\\\u0000"}'"#, METADATA),
        ("'{}'", &metadata(8192), METADATA),
        ("'laptop'", &format!("'{}'", "é".repeat(129)), LABEL),
        ("'laptop'", "'=laptop'", LABEL),
        ("'laptop'", "'a' || char(10)", LABEL),
        ("'alice'", "'=alice'", SUBJECT),
        ("'acme'", "''", NO_PREFIX),
        ("'acme'", "'Acme'", NO_PREFIX),
        ("'acme'", "'1acme'", NO_PREFIX),
        ("'acme'", "'acme_'", NO_PREFIX),
        ("'acme'", "'ac-me'", NO_PREFIX),
        ("'acme'", "'acme' || char(10)", NO_PREFIX),
        ("'acme'", "'caf\u{e9}'", NO_PREFIX),
        ("'acme'", &nul("acme"), NO_PREFIX),
        ("'acme'", "'aaaaaaaaaaaaaaaaaaaaa'", NO_PREFIX),
        ("1, 3, 'laptop'", "1, 4611686018427387905, 'laptop'", HIGH),
        ("1, 3, 'laptop'", "1, 9223372036854775807, 'laptop'", HIGH),
    ] {
        refused(&connection, &with(old, new), message);
    }
    for (old, new) in [
        ("'alice'", "'caf\u{e9} \u{5bc6} \u{fffd}'"),
        ("'read write'", &*format!("'read {}'", "a".repeat(128))),
        ("'{}'", r#"' { "a" : "b" , "" : "" } '"#),
        ("'{}'", r#"'{"\\u0000":"\\u0000","\\ud800":"\"{}:,1"}'"#),
        ("'{}'", &metadata(8191)),
        ("'laptop'", &format!("'{}='", "é".repeat(127))),
        ("1, 3, 'laptop'", "1, 4611686018427387904, 'laptop'"),
        ("'acme'", "NULL"),
        ("'acme'", "'a'"),
        ("'acme'", "'a2345678901234567_90'"),
    ] {
        let key = with(old, new);
        assert_eq!(connection.execute(&key, []), Ok(1), "{key}");
        connection.execute("DELETE FROM api_keys", []).unwrap();
    }
}

/// SQLite itself takes any bytes for a text.
#[test]
fn invariant_13_no_row_comes_in_whose_texts_are_not_utf_8() {
    let folder = Folder::new();
    let connection = database(&folder, &[]);
    let bytes = |bytes: &[u8]| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("CAST(x'{}' AS TEXT)", hex.concat())
    };
    let mut number = 0;
    let mut row = |part: &str, other: &str| {
        number += 1;
        KEY.replacen(part, other, 1)
            .replacen("'AAAAAAAAAAAA'", &format!("'{number:0>12}'"), 1)
            .replacen("zeroblob(32)", "randomblob(32)", 1)
    };
    for wrong in [
        b"\xff".as_slice(),
        // A continuation without a start, and a start without one.
        b"ok \x85",
        b"\xc3(",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc3\xa9\xa9",
        // A longer form than needed, half a surrogate pair, and a value beyond the last character.
        b"\xc1\x81",
        b"\xe0\x84\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xfc\x80\x80\x80\x80\x80",
    ] {
        let quoted = [b"{\"a\":\"", wrong, b"\"}"].concat();
        for row in [
            row("'alice'", &bytes(&[b"alice ", wrong].concat())),
            row("'{}'", &bytes(&quoted)),
            row("'laptop'", &bytes(&[b"a\0", wrong].concat())),
        ] {
            refused(&connection, &row, UTF_8);
        }
        // SQLite takes some for a control character.
        let label = row("'laptop'", &bytes(wrong));
        let error = connection.execute(&label, []).unwrap_err().to_string();
        assert!([LABEL, UTF_8].contains(&&*error), "{label}: {error}");
    }
    for right in [
        "é",
        "日本語",
        "😀",
        "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}",
        "a\u{300} b",
        "\u{7ff}\u{800}",
    ] {
        for row in [
            row("'laptop'", &format!("'{right}'")),
            row("'alice'", &format!("'{right}'")),
            row("'{}'", &format!("'{{\"{right}\":\"{right}\"}}'")),
        ] {
            connection.execute(&row, []).expect(right);
        }
    }
}

/// An object with a name of one byte and a value of this many characters of one byte.
fn metadata(length: usize) -> String {
    format!(r#"'{{"a":"{}"}}'"#, "\\u0062".repeat(length))
}

/// Whatever a subject and a label refuse, the database refuses too, of a new row and of one that is described.
#[test]
fn r36_a_row_holds_no_text_that_the_crate_cannot_read() {
    use tower_api_key::{Label, Subject};

    let folder = Folder::new();
    let connection = database(&folder, &[KEY]);
    let is_plain = |character: char| Label::new(&format!("a{character}")).is_ok();
    // Where a range of characters begins or ends, the last of one and the first of the other.
    let planes = ('\u{1}'..='\u{20000}').chain('\u{e0000}'..='\u{e0100}');
    let characters: Vec<char> = planes.collect();
    let ends = characters
        .windows(2)
        .filter(|two| is_plain(two[0]) != is_plain(two[1]));
    let mut tried = 0;
    for character in ends.flatten() {
        tried += 1;
        let text = format!("a{character}");
        let number = u32::from(*character);
        let described = connection.execute(
            "UPDATE api_keys SET label = ?1, version = version + 1",
            [&text],
        );
        assert_eq!(described.is_ok(), Label::new(&text).is_ok(), "{number:x}");
        for (part, parsed) in [
            ("'laptop'", Label::new(&text).is_ok()),
            ("'alice'", Subject::new(&text).is_ok()),
        ] {
            let key = KEY
                .replacen(part, &format!("'a' || char({number})"), 1)
                .replacen("'AAAAAAAAAAAA'", &format!("'{tried:0>12}'"), 1)
                .replacen("zeroblob(32)", "randomblob(32)", 1);
            let inserted = connection.execute(&key, []);
            assert_eq!(inserted.is_ok(), parsed, "{part} {number:x}");
            connection
                .execute(
                    "DELETE FROM api_keys WHERE id = ?1",
                    [format!("{tried:0>12}")],
                )
                .unwrap();
        }
    }
    assert!(tried > 60, "{tried}");
    let long = format!("label = '{}'", "a".repeat(257));
    for edit in [&long, "label = '=a'", "label = 'a' || char(0)"] {
        let update = format!("UPDATE api_keys SET {edit}, version = version + 1");
        let message = if edit.contains("char(0)") {
            DESCRIBED_UTF_8
        } else {
            LABEL
        };
        refused(&connection, &update, message);
    }
    for wrong in [r#"'{"a":"\u0000"}'"#, &metadata(8192)] {
        let update = format!("UPDATE api_keys SET metadata = {wrong}, version = version + 1");
        refused(&connection, &update, METADATA);
    }
    let update = format!(
        "UPDATE api_keys SET metadata = {}, version = version + 1",
        metadata(8191)
    );
    assert_eq!(connection.execute(&update, []), Ok(1));
}

#[test]
fn a_last_use_never_moves_back() {
    all_refused(KEY, &["last_used_at = 199", "last_used_at = NULL"], USE);
}

#[test]
fn invariant_12_no_key_takes_the_place_of_another() {
    let folder = Folder::new();
    let connection = database(&folder, &[KEY]);
    let wider = KEY.replace("'read write'", "'admin'");
    let same_id = wider.replace("zeroblob(32)", "randomblob(32)");
    let same_digest = wider.replace("'AAAAAAAAAAAA', 'orders'", "'BBBBBBBBBBBB', 'orders'");
    for key in [&wider, &same_id, &same_digest] {
        refused(&connection, key, TAKEN);
        refused(&connection, &key.replace("INSERT", "REPLACE"), TAKEN);
        refused(
            &connection,
            &key.replace("INSERT", "INSERT OR IGNORE"),
            TAKEN,
        );
        let upsert = format!("{key} ON CONFLICT DO UPDATE SET scopes = excluded.scopes");
        refused(&connection, &upsert, TAKEN);
    }
}

#[test]
fn a_key_can_shrink() {
    let folder = Folder::new();
    let connection = database(&folder, &[KEY]);
    for edit in [
        "version = version + 1, scopes = 'write'",
        "version = version + 1, scopes = ''",
        "version = version + 1, expires_at = 499",
        "version = version + 1, retire_at = 399",
        "version = version + 1, revoked_at = 300, revocation_reason = 'key_compromise'",
        "last_used_at = 201",
        "version = version + 1, last_used_at = 202, expires_at = 498",
    ] {
        let changed = connection
            .execute(&format!("UPDATE api_keys SET {edit}"), [])
            .expect(edit);
        assert_eq!(changed, 1, "{edit}");
    }
    let endless = KEY
        .replace("zeroblob(32)", "randomblob(32)")
        .replace("'AAAAAAAAAAAA', 'orders'", "'BBBBBBBBBBBB', 'orders'")
        .replace("500, 400", "NULL, NULL")
        .replace("200)", "NULL)");
    connection.execute(&endless, []).unwrap();
    for edit in ["retire_at = 400", "expires_at = 500", "last_used_at = 0"] {
        let statement =
            format!("UPDATE api_keys SET version = version + 1, {edit} WHERE id = 'BBBBBBBBBBBB'");
        assert_eq!(connection.execute(&statement, []), Ok(1), "{edit}");
    }
}
