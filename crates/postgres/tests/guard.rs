//! The changes that the database itself refuses, attempted in SQL without the crate.

use sqlx::postgres::PgDatabaseError;
use tower_api_key::{
    Description, Grant, Issued, Label, Narrowing, RevocationReason, Subject, VerifyErrorKind,
};

use super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{database, execute};

/// A key with a value in every column that an UPDATE could change: rotated, so that it has a
/// `retire_at`, and used.
async fn key(url: &str) -> Issued {
    let ring = ring_over(connect(url).await);
    let grant = Grant::new("alice")
        .scopes(["read", "write"])
        .label("laptop");
    let issued = ring.issue(grant).await.unwrap();
    let id = issued.record().id();
    let grace = std::time::Duration::from_mins(1);
    ring.rotate(id, grace).await.unwrap();
    for set in [
        "last_used_at = 1000",
        "caveats = 'moon=full net=10.0.0.0/8', version = version + 1",
    ] {
        let set = format!("UPDATE tower_api_keys SET {set} WHERE id = '{id}'");
        assert_eq!(execute(url, &set).await.unwrap(), 1);
    }
    issued
}

/// Tries `UPDATE … SET {set}` on the key, and returns the database's answer.
async fn set(url: &str, issued: &Issued, set: &str) -> Result<u64, (String, String, String)> {
    let id = issued.record().id();
    let update = format!("UPDATE tower_api_keys SET {set} WHERE id = '{id}'");
    execute(url, &update).await.map_err(|error| {
        let error = error.into_database_error().expect("the server answers");
        let error = error.downcast::<PgDatabaseError>();
        (
            error.code().to_owned(),
            error.constraint().unwrap_or_default().to_owned(),
            error.message().to_owned(),
        )
    })
}

#[track_caller]
fn assert_guarded(
    issued: &Issued,
    tried: &str,
    answer: Result<u64, (String, String, String)>,
    why: &str,
) {
    let id = issued.record().id();
    let (code, constraint, message) = answer.expect_err(tried);
    assert_eq!(code, "TAK01", "{tried}: {message}");
    assert_eq!(constraint, "tower_api_keys_guard", "{tried}");
    let expected = format!("key {id} cannot be changed like this: {why}");
    assert_eq!(message, expected, "{tried}");
}

#[tokio::test]
async fn invariant_1_an_update_in_sql_gives_no_key_more_than_it_had() {
    let url = database().await;
    let key = key(&url).await;
    for (tried, why) in [
        ("id = 'aaaaaaaaaaaa'", "its id is fixed"),
        ("realm = 'billing'", "its realm is fixed"),
        ("digest = sha256('guess')", "its digest is fixed"),
        ("pepper_version = 1", "its pepper_version is fixed"),
        ("subject = 'bob'", "its subject is fixed"),
        ("issued_at = issued_at - 1", "its issued_at is fixed"),
        ("not_before = not_before - 1", "its not_before is fixed"),
        ("lineage = 'aaaaaaaaaaaa'", "its lineage is fixed"),
        ("generation = generation + 1", "its generation is fixed"),
        ("prefix = 'acme_live'", "its prefix is fixed"),
        ("prefix = NULL", "its prefix is fixed"),
        (
            "expires_at = expires_at + 1",
            "its expires_at only moves to an earlier time",
        ),
        (
            "expires_at = NULL",
            "its expires_at only moves to an earlier time",
        ),
        (
            "retire_at = retire_at + 1",
            "its retire_at only moves to an earlier time",
        ),
        (
            "retire_at = NULL",
            "its retire_at only moves to an earlier time",
        ),
        ("scopes = 'admin'", "its scopes only become fewer"),
        (
            "scopes = 'read write admin'",
            "its scopes only become fewer",
        ),
        ("scopes = 'READ'", "its scopes only become fewer"),
        ("caveats = ''", "it loses no caveat"),
        ("caveats = 'net=10.0.0.0/8'", "it loses no caveat"),
        (
            "caveats = 'moon=full net=10.0.0.0/8 ' || repeat('z', 1025)",
            "it loses no caveat",
        ),
        ("caveats = 'moon=fullnet=10.0.0.0/8'", "it loses no caveat"),
        (
            "caveats = 'moon=full  net=10.0.0.0/8'",
            "it loses no caveat",
        ),
        (
            "caveats = 'moon=full net=10.0.0.0/8 \"'",
            "it loses no caveat",
        ),
    ] {
        let tried = format!("{tried}, version = version + 1");
        let answer = set(&url, &key, &tried).await;
        assert_guarded(&key, &tried, answer, why);
    }
}

#[tokio::test]
async fn invariant_1_label_and_metadata_change_by_themselves() {
    let url = database().await;
    let key = key(&url).await;
    let alone = "its label and metadata change by themselves";
    let texts = "its metadata is an object of texts";
    let next = ", version = version + 1";
    for description in [
        "label = 'desk'",
        "label = NULL",
        r#"metadata = '{"a":"b"}'"#,
    ] {
        for authority in [
            "scopes = 'read'",
            "caveats = caveats || ' z=1'",
            "expires_at = expires_at - 1",
            "retire_at = retire_at - 1",
            "revoked_at = 1, revocation_reason = 'unspecified'",
        ] {
            let tried = format!("{description}, {authority}{next}");
            assert_guarded(&key, &tried, set(&url, &key, &tried).await, alone);
        }
        let tried = format!("{description}, scopes = 'read write admin'{next}");
        let why = "its scopes only become fewer";
        assert_guarded(&key, &tried, set(&url, &key, &tried).await, why);
        let why = "its version rises with every change but that of last_used_at";
        assert_guarded(&key, description, set(&url, &key, description).await, why);
        let tried = format!("{description}, version = version + 2");
        let why = "its version rises by one, up to 4611686018427387904";
        assert_guarded(&key, &tried, set(&url, &key, &tried).await, why);
    }
    for metadata in [
        "[]",
        r#"{"a":1}"#,
        r#"{"a":{"b":"c"}}"#,
        r#"{"a":"\ud800"}"#,
    ] {
        let tried = format!("metadata = '{metadata}'{next}");
        assert_guarded(&key, &tried, set(&url, &key, &tried).await, texts);
    }
    for (tried, why) in [
        (
            r#"metadata = '{"a":"\u0000"}'"#,
            "its metadata cannot be read",
        ),
        (
            r#"metadata = '{"a":"' || repeat('a', 8192) || '"}'"#,
            "its metadata cannot be read",
        ),
        ("label = repeat('a', 257)", "its label cannot be read"),
        ("label = '=a'", "its label cannot be read"),
        ("label = E'a\\x7f'", "its label cannot be read"),
    ] {
        let tried = format!("{tried}{next}");
        assert_guarded(&key, &tried, set(&url, &key, &tried).await, why);
    }
    let no_json = format!("metadata = 'no JSON'{next}");
    let (code, ..) = set(&url, &key, &no_json).await.unwrap_err();
    assert_eq!(code, "22P02");

    let described = [
        "label = 'desk'",
        "label = NULL",
        r#"metadata = '{"a":"b"}'"#,
    ];
    for tried in described.map(|edit| format!("{edit}{next}")) {
        assert_eq!(set(&url, &key, &tried).await, Ok(1), "{tried}");
    }
    let end = format!("revoked_at = 1, revocation_reason = 'unspecified'{next}");
    assert_eq!(set(&url, &key, &end).await, Ok(1));
    // A revoked row is under no constraint, and its description is a text all the same.
    let tried = format!("metadata = '[]'{next}");
    assert_guarded(&key, &tried, set(&url, &key, &tried).await, texts);
    let tried = format!("label = 'leaked in March'{next}");
    assert_eq!(set(&url, &key, &tried).await, Ok(1));
}

#[tokio::test]
async fn invariant_2_an_update_in_sql_brings_no_key_back() {
    let url = database().await;
    let key = key(&url).await;
    let ring = ring_over(connect(&url).await);
    let id = key.record().id();
    ring.revoke(id, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    for tried in [
        "revoked_at = NULL, revocation_reason = NULL",
        "revoked_at = NULL",
        "revoked_at = revoked_at + 1",
        "revoked_at = revoked_at - 1",
        "revocation_reason = 'unspecified'",
    ] {
        let tried = format!("{tried}, version = version + 1");
        let answer = set(&url, &key, &tried).await;
        assert_guarded(&key, &tried, answer, "a revocation is final");
    }
    let error = ring.verify(key.secret().expose().as_bytes()).await;
    let VerifyErrorKind::Invalid(_) = error.unwrap_err().kind() else {
        panic!("the key is refused");
    };
}

#[tokio::test]
async fn invariant_6_no_update_in_sql_passes_the_version_by() {
    let url = database().await;
    let key = key(&url).await;
    let by_one = "its version rises by one, up to 4611686018427387904";
    let rises = "its version rises with every change but that of last_used_at";
    for (tried, why) in [
        ("version = version - 1", by_one),
        ("version = version + 2", by_one),
        ("version = version + 2, scopes = 'read'", by_one),
        ("version = 4611686018427387904", by_one),
        ("version = 9223372036854775807", by_one),
        (
            "version = version + 2, revoked_at = 1, revocation_reason = 'unspecified'",
            by_one,
        ),
        (
            "version = 9223372036854775807, revoked_at = 1, revocation_reason = 'unspecified'",
            by_one,
        ),
        ("scopes = 'read'", rises),
        ("caveats = 'a=1 moon=full net=10.0.0.0/8'", rises),
        ("expires_at = expires_at - 1", rises),
        ("retire_at = retire_at - 1", rises),
        ("revoked_at = 1, revocation_reason = 'unspecified'", rises),
        (
            "last_used_at = last_used_at - 1",
            "its last_used_at only moves to a later time",
        ),
        (
            "last_used_at = NULL",
            "its last_used_at only moves to a later time",
        ),
    ] {
        let answer = set(&url, &key, tried).await;
        assert_guarded(&key, tried, answer, why);
    }
}

#[tokio::test]
async fn what_takes_away_may_be_done_in_sql() {
    let url = database().await;
    let key = key(&url).await;
    for tried in [
        "last_used_at = last_used_at",
        "last_used_at = last_used_at + 1",
        "scopes = 'write', version = version + 1",
        "scopes = '', version = version + 1",
        "caveats = 'a=1 moon=full net=10.0.0.0/8', version = version + 1",
        "expires_at = expires_at - 1, version = version + 1",
        "retire_at = retire_at - 1, version = version + 1",
        "version = version + 1",
        "revoked_at = 1, revocation_reason = 'unspecified', version = version + 1",
    ] {
        assert_eq!(set(&url, &key, tried).await, Ok(1), "{tried}");
    }
}

/// A session that disables ordinary triggers does not disable this one.
#[tokio::test]
async fn the_guard_stands_in_a_session_of_a_replica_too() {
    let url = database().await;
    let key = key(&url).await;
    let url = format!("{url}?options[session_replication_role]=replica");
    let tried = "subject = 'bob', version = version + 1";
    let answer = set(&url, &key, tried).await;
    assert_guarded(&key, tried, answer, "its subject is fixed");
}

#[tokio::test]
async fn invariant_12_an_id_and_a_digest_are_in_one_row() {
    let url = database().await;
    let key = key(&url).await;
    let id = key.record().id();
    let columns = "realm, pepper_version, subject, scopes, issued_at, not_before, expires_at, \
                   retire_at, lineage, generation, version, metadata";
    for (id_column, digest, constraint) in [
        ("id", "sha256('other')", "tower_api_keys_pkey"),
        ("'aaaaaaaaaaaa'", "digest", "tower_api_keys_digest_key"),
    ] {
        let insert = format!(
            "INSERT INTO tower_api_keys (id, digest, {columns}) \
             SELECT {id_column}, {digest}, {columns} FROM tower_api_keys WHERE id = '{id}'"
        );
        let error = execute(&url, &insert).await.unwrap_err();
        let error = error.into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("23505"));
        assert_eq!(error.constraint(), Some(constraint));
    }
}

/// An insertion of a row with this value in a column, of a key that is revoked or not.
fn row(column: &str, value: &str, revoked: bool) -> String {
    let valid = [
        ("id", "'aaaaaaaaaaaa'"),
        ("realm", "'orders'"),
        ("digest", "sha256('a')"),
        ("pepper_version", "NULL"),
        ("subject", "'alice'"),
        ("scopes", "'read write'"),
        ("issued_at", "1"),
        ("not_before", "1"),
        ("expires_at", "NULL"),
        ("retire_at", "NULL"),
        ("lineage", "'aaaaaaaaaaaa'"),
        ("generation", "0"),
        ("version", "1"),
        ("revoked_at", "NULL"),
        ("revocation_reason", "NULL"),
        ("label", "NULL"),
        ("metadata", "'{}'"),
        ("last_used_at", "NULL"),
        ("prefix", "'acme'"),
    ];
    let values: Vec<&str> = valid
        .iter()
        .map(|&(name, valid)| match name {
            _ if name == column => value,
            "revoked_at" if revoked => "1",
            "revocation_reason" if revoked => "'unspecified'",
            _ => valid,
        })
        .collect();
    let names = valid.map(|(name, _)| name).join(", ");
    let values = values.join(", ");
    format!("INSERT INTO tower_api_keys ({names}) VALUES ({values})")
}

#[tokio::test]
async fn no_row_comes_in_that_is_no_record() {
    let url = database().await;
    let insert = |column: &str, value: &str| row(column, value, false);
    for (column, value, constraint) in [
        ("id", "'aaaaaaaaaaa'", "id_check"),
        ("id", "'aaaaaaaaaaa_'", "id_check"),
        ("id", "E'aaaaaaaaaaaa\\n'", "id_check"),
        ("realm", "''", "realm_check"),
        ("realm", "repeat('a', 65)", "realm_check"),
        ("realm", "'a\"b'", "realm_check"),
        ("realm", "'a\\b'", "realm_check"),
        ("realm", "'caf\u{e9}'", "realm_check"),
        ("digest", "'\\x00'", "digest_check"),
        ("pepper_version", "-1", "pepper_version_check"),
        ("pepper_version", "4294967296", "pepper_version_check"),
        ("subject", "''", "subject_check"),
        ("subject", "repeat('\u{e9}', 129)", "subject_check"),
        ("subject", "E'a\\nb'", "subject_check"),
        ("subject", "E'a\\u0085b'", "subject_check"),
        ("scopes", "'read  write'", "scopes_check"),
        ("scopes", "' read'", "scopes_check"),
        ("scopes", "'read '", "scopes_check"),
        ("scopes", "'a\"b'", "scopes_check"),
        ("scopes", "'a\\b'", "scopes_check"),
        ("scopes", "repeat('a', 129)", "scopes_check"),
        ("issued_at", "-1", "issued_at_check"),
        ("not_before", "-1", "not_before_check"),
        ("expires_at", "-1", "expires_at_check"),
        ("retire_at", "-1", "retire_at_check"),
        ("lineage", "'a'", "lineage_check"),
        ("generation", "-1", "generation_check"),
        ("generation", "4294967296", "generation_check"),
        ("version", "0", "version_check"),
        ("version", "4611686018427387905", "entry"),
        ("version", "9223372036854775807", "entry"),
        ("revoked_at", "1", "revocation_check"),
        ("revocation_reason", "'unspecified'", "revocation_check"),
        ("metadata", "'[]'", "metadata_check"),
        ("metadata", r#"'{"a":1}'"#, "entry"),
        ("metadata", r#"'{"a":null}'"#, "entry"),
        ("metadata", r#"'{"a":"b","c":["d"]}'"#, "entry"),
        ("metadata", r#"'{"a":{"b":"c"}}'"#, "entry"),
        ("metadata", r#"'{"a":"\ud800"}'"#, "entry"),
        ("metadata", r#"'{"\\\udC00":"a"}'"#, "entry"),
        ("metadata", r#"'{"\u0000":"a"}'"#, "entry"),
        ("metadata", r#"'{"a":"\\\u0000"}'"#, "entry"),
        (
            "metadata",
            r#"'{"a":"' || repeat('\u00e9', 4096) || '"}'"#,
            "entry",
        ),
        ("label", "repeat('\u{e9}', 129)", "entry"),
        ("label", "'=laptop'", "entry"),
        ("label", "E'a\\nb'", "entry"),
        ("subject", "'=alice'", "entry"),
        ("last_used_at", "-1", "last_used_at_check"),
        ("prefix", "''", "entry"),
        ("prefix", "'Acme'", "entry"),
        ("prefix", "'1acme'", "entry"),
        ("prefix", "'acme_'", "entry"),
        ("prefix", "'ac-me'", "entry"),
        ("prefix", "E'acme\\n'", "entry"),
        ("prefix", "'caf\u{e9}'", "entry"),
        ("prefix", "repeat('a', 21)", "entry"),
    ] {
        let error = execute(&url, &insert(column, value)).await;
        let error = error.expect_err(value).into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("23514"), "{column} {value}");
        let constraint = format!("tower_api_keys_{constraint}");
        assert_eq!(error.constraint(), Some(&*constraint), "{column} {value}");
        // Nor is it accepted as a revoked one.
        if !column.starts_with("revo") {
            let revoked = row(column, value, true);
            let error = execute(&url, &revoked).await;
            let error = error.expect_err(value).into_database_error().unwrap();
            assert_eq!(error.code().as_deref(), Some("23514"), "{revoked}");
            assert!(error.constraint().is_some(), "{column} {value}");
        }
    }
    for (column, value) in [
        ("subject", "repeat('a', 256)"),
        ("scopes", "''"),
        ("scopes", "'!#[]~ ' || repeat('a', 128)"),
        ("realm", "' ]-[~'"),
        ("generation", "4294967295"),
        ("version", "4611686018427387904"),
        ("metadata", r#"' { "a" : "b" , "" : "" } '"#),
        ("metadata", r#"'{"\\u0000":"\\u0000","\\ud800":"\"{}:,1"}'"#),
        ("metadata", r#"'{"":"' || repeat('\u00e9', 4096) || '"}'"#),
        ("label", "repeat('\u{e9}', 128)"),
        ("label", "'a='"),
        ("metadata", "'{\"caf\u{e9}\":\"\\\\n\"}'"),
    ] {
        for insert in [insert(column, value), row(column, value, true)] {
            assert_eq!(execute(&url, &insert).await.unwrap(), 1, "{column} {value}");
            execute(&url, "TRUNCATE tower_api_keys").await.unwrap();
        }
    }
}

/// Whatever a subject and a label refuse, the database refuses too.
#[tokio::test]
async fn r36_a_row_holds_no_text_that_the_crate_cannot_read() {
    let url = database().await;
    let is_plain = |character: char| Label::new(&format!("a{character}")).is_ok();
    let planes = ('\u{1}'..='\u{20000}').chain('\u{e0000}'..='\u{e0100}');
    let characters: Vec<char> = planes.collect();
    // Where a range of characters begins or ends, the last of one and the first of the other.
    let ends = characters
        .windows(2)
        .filter(|two| is_plain(two[0]) != is_plain(two[1]));
    let mut refused = 0;
    for character in ends.flatten() {
        let text = format!("a{character}");
        assert_eq!(Label::new(&text).is_ok(), Subject::new(&text).is_ok());
        let number = u32::from(*character);
        for column in ["label", "subject"] {
            let inserted =
                execute(&url, &row(column, &format!("'a' || chr({number})"), false)).await;
            let is_in = Label::new(&text).is_ok();
            assert_eq!(inserted.is_ok(), is_in, "{column} {number:x}");
            refused += u32::from(!is_in);
            execute(&url, "TRUNCATE tower_api_keys").await.unwrap();
        }
    }
    assert!(refused > 60, "{refused}");
}

#[tokio::test]
async fn r32_metadata_in_a_form_of_another_hand_keeps_no_key_from_being_narrowed() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    let grant = Grant::new("alice").scopes(["read", "write"]);
    let issued = ring.issue(grant.label("laptop")).await.unwrap();
    let id = issued.id();
    let text = r#"{ "b":"x" , "a":"\u00e9" }"#;
    let tried = format!("metadata = '{text}', version = version + 1");
    assert_eq!(set(&url, &issued, &tried).await, Ok(1));

    let narrowed = ring.narrow(id, Narrowing::new().to_scopes("read")).await;
    assert_eq!(narrowed.unwrap().scopes().as_str(), "read");
    let minute = std::time::Duration::from_mins(1);
    let rotated = ring.rotate(id, minute).await.unwrap();
    assert_eq!(rotated.record().metadata().get("a"), Some("\u{e9}"));
    // A write that does not change it leaves it as it is.
    let kept = format!("metadata = metadata WHERE id = '{id}' AND metadata = '{text}' --");
    assert_eq!(set(&url, &issued, &kept).await, Ok(1));
    let described = ring.describe(id, Description::new().label("desk")).await;
    assert_eq!(described.unwrap().label().unwrap().as_str(), "desk");
}
