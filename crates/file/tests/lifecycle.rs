//! A file that changes under a running process: the rights of a secret only shrink.

use std::time::Duration;

use tower_api_key::store::StoreErrorKind::{Conflict, Corrupt};
use tower_api_key::store::{KeyStore, ListQuery};
use tower_api_key::{InvalidCause, KeyState, Label, RevocationReason, Timestamp};

use super::{Kept, Key};
use tower_api_key_test_support::support::START;

const REALM: &str = "realm = \"orders\"\n";
const NEW_SECRET: &str =
    "an edit cannot give a key more authority; issue a new key, and put its digest here";

#[tokio::test]
async fn a_key_that_is_new_in_the_file_works_and_the_others_stay_as_they_are() {
    let (alice, bob) = (Key::mint().await, Key::mint().await);
    let kept = Kept::new(&format!("{REALM}{}", alice.alice()));
    let before = kept.ring.list(&ListQuery::new()).await.unwrap();
    assert_eq!(kept.verify(&bob).await, Err(InvalidCause::Unknown));

    kept.clock.advance(Duration::from_mins(1));
    let entry = bob.entry("subject = \"bob\"\nscopes = []\nexpires_at = 1800000100");
    kept.reload(&format!("{REALM}{entry}{}", alice.alice()))
        .unwrap();
    assert_eq!(kept.verify(&alice).await.unwrap(), "alice read write");
    assert_eq!(kept.verify(&bob).await.unwrap(), "bob ");
    let after = kept.ring.list(&ListQuery::new()).await.unwrap();
    assert_eq!(after.len(), 2);
    assert!(
        after.contains(&before[0]),
        "an unchanged key has no new version"
    );

    kept.clock.advance(Duration::from_secs(40));
    assert_eq!(kept.verify(&bob).await, Err(InvalidCause::Expired));
}

#[tokio::test]
async fn invariant_2_a_key_that_is_gone_from_the_file_is_revoked_for_good() {
    let (alice, bob) = (Key::mint().await, Key::mint().await);
    let both = format!(
        "{REALM}{}{}",
        alice.alice(),
        bob.entry("subject = \"bob\"\nscopes = [\"read\"]\nnever_expires = true")
    );
    let kept = Kept::new(&both);
    kept.clock.advance(Duration::from_secs(7));
    let one = format!("{REALM}{}", alice.alice());
    kept.reload(&one).unwrap();
    assert_eq!(kept.verify(&bob).await, Err(InvalidCause::Revoked));
    assert_eq!(kept.verify(&alice).await.unwrap(), "alice read write");
    let query = ListQuery::new().subject("bob");
    let record = kept.ring.list(&query).await.unwrap()[0].clone();
    assert_eq!(record.state_at(START), KeyState::Revoked);
    let revocation = record.revocation().unwrap();
    assert_eq!(revocation.at, Timestamp::from_unix(START.as_unix() + 7));
    assert_eq!(revocation.reason, RevocationReason::Unspecified);
    assert_eq!(record.version(), 2);

    let message = format!(
        ", line 8: digest: this key was removed from the file before, and is revoked (id {}): \
         {NEW_SECRET}",
        record.id()
    );
    kept.refuses(&both, Conflict, &message);
    assert_eq!(kept.verify(&bob).await, Err(InvalidCause::Revoked));

    // The whole file is refused, so other new entries in it do not work either.
    let carol = Key::mint().await;
    let entry = carol.entry("subject = \"carol\"\nscopes = []\nnever_expires = true");
    let error = kept.reload(&format!("{both}{entry}")).unwrap_err();
    assert_eq!(error.kind(), Conflict);
    assert_eq!(kept.verify(&carol).await, Err(InvalidCause::Unknown));

    kept.reload(&format!("{one}{entry}")).unwrap();
    assert_eq!(kept.verify(&carol).await.unwrap(), "carol ");

    // All keys at once, stated as such.
    kept.reload("keys = []").unwrap();
    assert_eq!(kept.verify(&alice).await, Err(InvalidCause::Revoked));
    assert_eq!(kept.verify(&carol).await, Err(InvalidCause::Revoked));
}

#[tokio::test]
async fn invariant_1_nothing_under_the_same_digest_gains() {
    const SAME: [(&str, &str); 7] = [
        ("subject", "\"alice\""),
        ("scopes", "[\"read\", \"write\"]"),
        ("caveats", "[]"),
        ("not_before", "1700000000"),
        ("expires_at", "1900000000"),
        ("id", "\"0123456789Ab\""),
        ("metadata", "{ team = \"a\" }"),
    ];
    let key = Key::mint().await;
    let with = |field: &str, value: &str| {
        let lines: Vec<String> = SAME
            .iter()
            .map(|&(name, same)| {
                let value = if name == field { value } else { same };
                format!("{name} = {value}")
            })
            .collect();
        format!("{REALM}{}", key.entry(&lines.join("\n")))
    };
    let kept = Kept::new(&with("", ""));
    for (field, value, gain) in [
        (
            "scopes",
            "[\"read\", \"write\", \"admin\"]",
            "scopes: this key did not have all of them before",
        ),
        (
            "expires_at",
            "1900000001",
            "expires_at: this key had an earlier one before",
        ),
        (
            "not_before",
            "1699999999",
            "not_before: this key had a later one before",
        ),
        (
            "not_before",
            "0",
            "not_before: this key had a later one before",
        ),
        (
            "subject",
            "\"bob\"",
            "subject: this key had another one before",
        ),
        (
            "id",
            "\"0123456789Ac\"",
            "id: this key had another one before",
        ),
        (
            "metadata",
            "{}",
            "metadata: this key had other metadata before",
        ),
        (
            "metadata",
            "{ team = \"b\" }",
            "metadata: this key had other metadata before",
        ),
    ] {
        let message = format!(", line 3: {gain} (id 0123456789Ab): {NEW_SECRET}");
        kept.refuses(&with(field, value), Conflict, &message);
        assert_eq!(kept.verify(&key).await.unwrap(), "alice read write");
    }
    let never = with("", "").replace("expires_at = 1900000000", "never_expires = true");
    let message = format!(
        ", line 3: expires_at: this key had an earlier one before (id 0123456789Ab): \
             {NEW_SECRET}"
    );
    kept.refuses(&never, Conflict, &message);
    let elsewhere = with("", "").replace(REALM, "realm = \"billing\"\n");
    let message =
        format!(", line 3: realm: this key had another one before (id 0123456789Ab): {NEW_SECRET}");
    kept.refuses(&elsewhere, Conflict, &message);

    // The id of a removed key names no other one.
    let other = Key::mint().await;
    let successor = with("", "").replace(&key.digest, &other.digest);
    let message = ", line 3: id: 0123456789Ab is the id of an earlier key; give the new key \
                   another id; revoked anyway: 1 (0123456789Ab)";
    kept.refuses(&successor, Conflict, message);
    assert_eq!(kept.verify(&key).await, Err(InvalidCause::Revoked));
    assert_eq!(kept.verify(&other).await, Err(InvalidCause::Unknown));
}

#[tokio::test]
async fn invariant_14_a_key_keeps_its_caveats() {
    let key = Key::mint().await;
    let alice = "subject = \"alice\"\nscopes = [\"read\"]\nexpires_at = 1900000000";
    let with = |caveats: &str| format!("{REALM}{}", key.entry(&format!("{alice}\n{caveats}")));
    let kept = Kept::new(&with(""));
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read");
    kept.reload(&with("caveats = [\"net=10.0.0.0/8\"]"))
        .unwrap();
    assert_eq!(kept.verify(&key).await, Err(InvalidCause::CaveatNotMet));
    let id = kept.ring.list(&ListQuery::new()).await.unwrap()[0].id();
    let message =
        format!(", line 3: caveats: this key had more of them before (id {id}): {NEW_SECRET}");
    for fewer in ["", "caveats = []"] {
        kept.refuses(&with(fewer), Conflict, &message);
    }
    kept.reload(&with("caveats = [\"net=10.1.0.0/16\", \"net=10.0.0.0/8\"]"))
        .unwrap();
    let error = kept.reload(&with("caveats = [\"moon=full\"]")).unwrap_err();
    assert_eq!(error.kind(), Corrupt);
    let record = kept.ring.get(id).await.unwrap().unwrap();
    assert_eq!(record.caveats().as_str(), "net=10.0.0.0/8 net=10.1.0.0/16");
    assert_eq!(record.version(), 3);
}

#[tokio::test]
async fn a_key_may_lose() {
    let key = Key::mint().await;
    let kept = Kept::new(&format!("{REALM}{}", key.alice()));
    let narrowed = "subject = \"alice\"\nscopes = [\"read\"]\nexpires_at = 1900000000";
    kept.reload(&format!("{REALM}{}", key.entry(narrowed)))
        .unwrap();
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read");
    kept.refuses(
        &format!("{REALM}{}", key.alice()),
        Conflict,
        &format!(
            ", line 3: scopes: this key did not have all of them before (id {}): {NEW_SECRET}",
            kept.ring.list(&ListQuery::new()).await.unwrap()[0].id()
        ),
    );

    let shorter = narrowed.replace("1900000000", "1800000002\nlabel = \"laptop\"");
    kept.reload(&format!("{REALM}{}", key.entry(&shorter)))
        .unwrap();
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read");
    let record = kept.ring.list(&ListQuery::new()).await.unwrap()[0].clone();
    assert_eq!(
        (record.version(), record.label().map(Label::as_str)),
        (3, Some("laptop"))
    );
    assert_eq!(record.issued_at(), START);

    let later = format!("{shorter}\nnot_before = 1800000001");
    kept.reload(&format!("{REALM}{}", key.entry(&later)))
        .unwrap();
    assert_eq!(kept.verify(&key).await, Err(InvalidCause::NotYetValid));
    kept.clock.advance(Duration::from_secs(1));
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read");
    kept.clock.advance(Duration::from_secs(1));
    assert_eq!(kept.verify(&key).await, Err(InvalidCause::Expired));
}

/// A key that is used is looked up in memory, even after its file was read again.
#[tokio::test]
async fn last_uses_outlive_a_reload() {
    let key = Key::mint().await;
    let text = format!("{REALM}{}", key.alice());
    let kept = Kept::new(&text);
    let id = kept.ring.list(&ListQuery::new()).await.unwrap()[0].id();
    let realm = kept.ring.realm();
    kept.store.record_uses(realm, &[(id, START)]).await.unwrap();
    kept.reload(&text.replace(", \"write\"", "")).unwrap();
    assert_eq!(kept.ring.last_used(id).await.unwrap(), Some(START));
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read");
}
