//! Records, scopes, ids and realms as JSON, each parsed back by its own parser.

use std::fmt::Debug;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use serde_json::{Value, from_value, json, to_value};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    Grant, KeyDigest, KeyId, KeyRecord, KeyRecordParts, KeyRing, KeyView, ManualClock, Realm,
    Revocation, RevocationReason, Scope, ScopeSet, Timestamp,
};

use crate::support::START;

#[track_caller]
fn assert_round_trip<T>(value: &T, expected: &Value)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    assert_eq!(to_value(value).unwrap(), *expected);
    assert_eq!(from_value::<T>(expected.clone()).unwrap(), *value);
    // From text and from a reader: the first lends its strings, the second cannot.
    let text = expected.to_string();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value);
    assert_eq!(
        serde_json::from_reader::<_, T>(text.as_bytes()).unwrap(),
        *value
    );
}

#[track_caller]
fn assert_refused<T: DeserializeOwned + Debug>(value: Value, message: &str) {
    assert_eq!(from_value::<T>(value).unwrap_err().to_string(), message);
}

#[test]
fn each_type_is_its_own_text() {
    assert_round_trip(
        &"0123456789AB".parse::<KeyId>().unwrap(),
        &json!("0123456789AB"),
    );
    assert_round_trip(&Realm::new("orders eu").unwrap(), &json!("orders eu"));
    assert_round_trip(&Scope::new("orders:read").unwrap(), &json!("orders:read"));
    assert_round_trip(&ScopeSet::empty(), &json!(""));
    assert_round_trip(&"b a".parse::<ScopeSet>().unwrap(), &json!("a b"));
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_round_trip(&KeyDigest::sha256(b"abc"), &json!(digest));
    for seconds in [0, 1, 1_800_000_000, u64::MAX] {
        assert_round_trip(&Timestamp::from_unix(seconds), &json!(seconds));
    }
    for (reason, text) in [
        (RevocationReason::Unspecified, "unspecified"),
        (RevocationReason::KeyCompromise, "key_compromise"),
        (RevocationReason::AffiliationChanged, "affiliation_changed"),
        (RevocationReason::Superseded, "superseded"),
        (
            RevocationReason::CessationOfOperation,
            "cessation_of_operation",
        ),
        (RevocationReason::PrivilegeWithdrawn, "privilege_withdrawn"),
    ] {
        assert_round_trip(&reason, &json!(text));
        assert_eq!(reason.as_str(), text);
        assert_eq!(reason.to_string(), text);
        assert_eq!(text.parse::<RevocationReason>().unwrap(), reason);
    }
}

#[test]
fn text_that_does_not_parse_is_refused_with_the_parsers_words() {
    let scope = "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\";
    for text in ["", " ", "a b", "a\"b", "a\\b", "é", "a\n"] {
        assert_refused::<Scope>(json!(text), scope);
    }
    for text in [" ", "a  b", " a", "a ", "a,\u{e9}", "a\tb"] {
        assert_refused::<ScopeSet>(json!(text), scope);
    }
    let id = "invalid key id: expected the 12 characters before the last _ of a key";
    for text in ["", "0123456789A", "0123456789A-"] {
        assert_refused::<KeyId>(json!(text), id);
    }
    let realm = "invalid realm: use 1 to 64 printable ASCII characters without \" and \\";
    for text in ["", "a\"b", "a\r\nb", &"a".repeat(65)] {
        assert_refused::<Realm>(json!(text), realm);
    }
    assert_refused::<KeyDigest>(
        json!("ab"),
        "invalid digest: expected 64 hexadecimal digits",
    );
    assert_refused::<Timestamp>(json!(-1), "invalid value: integer `-1`, expected u64");
    assert_refused::<RevocationReason>(
        json!("Superseded"),
        "unknown variant `Superseded`, expected one of `unspecified`, `key_compromise`, \
         `affiliation_changed`, `superseded`, `cessation_of_operation`, `privilege_withdrawn`",
    );
    assert_refused::<ScopeSet>(
        json!(["a", "b"]),
        "invalid type: sequence, expected a string",
    );
}

/// A record with a value in every field, and its JSON.
fn full() -> (KeyRecordParts, Value) {
    let mut parts = KeyRecordParts::new(
        "0123456789AB".parse().unwrap(),
        Realm::new("orders").unwrap(),
        KeyDigest::sha256(b"abc"),
        "Ålice \"A\"".parse().unwrap(),
        Timestamp::from_unix(1),
    );
    parts.pepper_version = Some(3);
    parts.scopes = "read write".parse().unwrap();
    parts.caveats = "moon=full net=10.0.0.0/8".parse().unwrap();
    parts.not_before = Timestamp::from_unix(2);
    parts.expires_at = Some(Timestamp::from_unix(9));
    parts.grace_ends_at = Some(Timestamp::from_unix(8));
    parts.lineage = "ABCDEFGHIJKL".parse().unwrap();
    parts.generation = 4;
    parts.version = 5;
    parts.revocation = Some(Revocation::new(
        Timestamp::from_unix(7),
        RevocationReason::Superseded,
    ));
    parts.label = Some("laptop".parse().unwrap());
    parts.metadata = [("tier", "gold")].try_into().unwrap();
    parts.prefix = Some("acme_live".parse().unwrap());
    let json = json!({
        "id": "0123456789AB",
        "realm": "orders",
        "digest": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "pepper_version": 3,
        "subject": "Ålice \"A\"",
        "scopes": "read write",
        "caveats": "moon=full net=10.0.0.0/8",
        "issued_at": 1,
        "not_before": 2,
        "expires_at": 9,
        "grace_ends_at": 8,
        "lineage": "ABCDEFGHIJKL",
        "generation": 4,
        "version": 5,
        "revocation": { "at": 7, "reason": "superseded" },
        "label": "laptop",
        "metadata": { "tier": "gold" },
        "prefix": "acme_live",
    });
    (parts, json)
}

#[test]
fn a_record_is_its_parts() {
    let (parts, json) = full();
    assert_round_trip(&parts, &json);

    // Values that a record derives from its parts are derived again.
    let mut revoked = json.clone();
    revoked["revocation"] = Value::Null;
    let record = KeyRecord::from(from_value::<KeyRecordParts>(revoked).unwrap());
    assert_eq!(record.valid_until(), Timestamp::from_unix(8));
    let record = KeyRecord::from(from_value::<KeyRecordParts>(json).unwrap());
    assert_eq!(record.valid_until(), Timestamp::from_unix(0));
}

#[test]
fn r35_people_see_a_record_without_its_digest() {
    let (parts, _) = full();
    let at = Timestamp::from_unix(3);
    let mut live = parts.clone();
    live.revocation = None;
    let view = KeyView::new(KeyRecord::from(live), at).last_used(Some(Timestamp::from_unix(60)));
    let json = json!({
        "id": "0123456789AB",
        "prefix": "acme_live",
        "realm": "orders",
        "subject": "Ålice \"A\"",
        "scopes": ["read", "write"],
        "caveats": ["moon=full", "net=10.0.0.0/8"],
        "state": "in_grace",
        "issued_at": "1970-01-01T00:00:01Z",
        "not_before": "1970-01-01T00:00:02Z",
        "expires_at": "1970-01-01T00:00:09Z",
        "grace_ends_at": "1970-01-01T00:00:08Z",
        "revoked_at": null,
        "revocation_reason": null,
        "lineage": "ABCDEFGHIJKL",
        "generation": 4,
        "version": 5,
        "pepper_version": 3,
        "label": "laptop",
        "metadata": { "tier": "gold" },
        "last_used": "1970-01-01T00:01:00Z",
    });
    assert_eq!(to_value(&view).unwrap(), json);

    let revoked = to_value(KeyView::new(KeyRecord::from(parts), at)).unwrap();
    assert_eq!(revoked["state"], "revoked");
    assert_eq!(revoked["revoked_at"], "1970-01-01T00:00:07Z");
    assert_eq!(revoked["revocation_reason"], "superseded");
    assert_eq!(revoked["last_used"], Value::Null);
}

#[test]
fn a_record_with_one_bad_field_is_refused() {
    let (_, json) = full();
    for (field, bad, message) in [
        (
            "id",
            json!("x"),
            "invalid key id: expected the 12 characters before the last _ of a key",
        ),
        (
            "lineage",
            json!(""),
            "invalid key id: expected the 12 characters before the last _ of a key",
        ),
        (
            "scopes",
            json!("read  write"),
            "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\",
        ),
        (
            "prefix",
            json!("acme_"),
            "invalid key prefix: use 1 to 20 of a-z, 0-9 and _, starting with a letter and not ending in _",
        ),
        (
            "realm",
            json!(""),
            "invalid realm: use 1 to 64 printable ASCII characters without \" and \\",
        ),
        (
            "digest",
            json!("00"),
            "invalid digest: expected 64 hexadecimal digits",
        ),
        (
            "version",
            json!("5"),
            "invalid type: string \"5\", expected u64",
        ),
    ] {
        let mut bad_json = json.clone();
        bad_json[field] = bad;
        assert_refused::<KeyRecordParts>(bad_json, message);
    }
    for field in [
        "id",
        "realm",
        "digest",
        "subject",
        "scopes",
        "caveats",
        "not_before",
        "version",
    ] {
        let mut without = json.clone();
        without.as_object_mut().unwrap().remove(field);
        assert_refused::<KeyRecordParts>(without, &format!("missing field `{field}`"));
    }
}

#[test]
fn r27_a_restriction_that_this_version_does_not_know_is_not_dropped() {
    let (_, json) = full();
    let mut newer = json;
    newer["quota"] = json!(7);
    let error = from_value::<KeyRecordParts>(newer).unwrap_err().to_string();
    assert!(
        error.starts_with("unknown field `quota`, expected one of `id`"),
        "{error}"
    );
}

#[tokio::test]
async fn r06_no_record_on_disk_holds_the_secret() {
    let ring = KeyRing::builder("acme")
        .clock(ManualClock::new(START))
        .build(MemoryStore::new())
        .unwrap();
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let json = to_value(issued.record().to_parts()).unwrap();
    assert_round_trip(&issued.record().to_parts(), &json);
    let secret = &issued.secret().expose()[18..];
    assert!(!json.to_string().contains(secret));
    // The parsed value equals the original.
    let read = KeyRecord::from(from_value::<KeyRecordParts>(json).unwrap());
    assert_eq!(
        *read.digest(),
        KeyDigest::sha256(issued.secret().expose().as_bytes())
    );
}
