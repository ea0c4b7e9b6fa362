//! Keys that were minted elsewhere.

use std::time::Duration;

use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{
    Error, ErrorKind, Grant, Import, InvalidCause, KeyDigest, KeyRing, ManualClock, OldKey, Pepper,
    RevocationReason, Timestamp,
};

use super::{invalid, verdict};
use crate::support::START;

const STRONG: &str = "sk-4f9A.7Yq~Zr01_mLw8Vx6pT+e2Nd";

fn importing() -> KeyRing {
    KeyRing::builder("acme")
        .accept_imports()
        .build(MemoryStore::new())
        .unwrap()
}

fn alice() -> Grant {
    Grant::new("alice").expires_in(super::DAY)
}

#[track_caller]
fn assert_refused<T>(outcome: Result<T, Error>, kind: ErrorKind) {
    assert_eq!(outcome.map(|_| ()).unwrap_err().kind(), kind);
}

#[tokio::test]
async fn an_imported_digest_verifies_the_plaintext() {
    let ring = importing();
    let digest = KeyDigest::sha256(b"from elsewhere");
    let record = ring.import_digest(alice(), digest).await.unwrap();
    assert_eq!(*record.digest(), digest);
    assert_eq!(record.lineage(), record.id());
    // No presented key contains a space, so this digest is stored and never found.
    assert_eq!(
        verdict(&ring, "from elsewhere").await,
        invalid(InvalidCause::Malformed)
    );

    let digest: KeyDigest = KeyDigest::sha256(b"from-elsewhere");
    ring.import_digest(alice(), digest).await.unwrap();
    assert_eq!(
        verdict(&ring, "from-elsewhere").await,
        Ok("alice".to_owned())
    );
    assert_eq!(
        verdict(&ring, "from-Elsewhere").await,
        invalid(InvalidCause::Unknown)
    );
}

/// Of the ring's own form: a ring that takes no imports would find it in memory, and refuse it over a database.
#[tokio::test]
async fn r29_a_mistyped_key_of_the_ring_is_not_imported() {
    let ring = importing();
    let elsewhere = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let issued = elsewhere.issue(Grant::new("alice")).await.unwrap();
    let key = issued.secret().expose();
    let (body, last) = key.split_at(key.len() - 1);
    let mistyped = format!("{body}{}", if last == "0" { '1' } else { '0' });
    for import in [
        Import::new(alice()),
        Import::new(alice()).insecure_accept_weak(),
    ] {
        let key = OldKey::plaintext(mistyped.as_str());
        let imported = ring.import_many([(import, key)]).await.unwrap();
        assert_refused(
            imported.into_iter().next().unwrap(),
            ErrorKind::InvalidPlaintext,
        );
    }
    let imported = ring.import_plaintext(alice(), &mistyped).await;
    assert_refused(imported, ErrorKind::InvalidPlaintext);
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().records(), []);

    ring.import_plaintext(alice(), key).await.unwrap();
    assert_eq!(verdict(&ring, key).await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn an_imported_plaintext_verifies_and_is_not_kept() {
    let ring = importing();
    let record = ring.import_plaintext(alice(), STRONG).await.unwrap();
    assert_eq!(*record.digest(), KeyDigest::sha256(STRONG.as_bytes()));
    assert!(!format!("{record:?}").contains(STRONG));
    assert_eq!(verdict(&ring, STRONG).await, Ok("alice".to_owned()));
    assert_eq!(
        ring.verify(STRONG.as_bytes()).await.unwrap().id(),
        record.id()
    );
    for other in [&STRONG[1..], &STRONG.to_uppercase(), &format!("{STRONG}.")] {
        assert_eq!(verdict(&ring, other).await, invalid(InvalidCause::Unknown));
    }
}

#[tokio::test]
async fn a_key_of_the_rings_own_shape_can_be_imported() {
    let elsewhere = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let issued = elsewhere.issue(alice()).await.unwrap();
    let ring = importing();
    ring.import_plaintext(
        Grant::new("bob").expires_in(super::DAY),
        issued.secret().expose(),
    )
    .await
    .unwrap();
    assert_eq!(
        verdict(&ring, issued.secret().expose()).await,
        Ok("bob".to_owned())
    );
}

#[tokio::test]
async fn a_weak_plaintext_needs_a_name_that_says_so() {
    let ring = importing();
    // Digits hold 3.32 bits each, hexadecimal digits and base62 more than they seem to.
    for (plaintext, weak) in [
        ("1".repeat(38), true),
        ("1".repeat(39), false),
        ("a".repeat(27), true),
        ("a".repeat(28), false),
        ("a1".repeat(12), true),
        ("a1".repeat(13), false),
        ("aB1".repeat(7), true),
        ("aB1x".repeat(5) + "zz", false),
        ("hunter2".to_owned(), true),
        ("-".repeat(25), true),
        ("-".repeat(26), false),
    ] {
        let outcome = ring.import_plaintext(alice(), &plaintext).await;
        let refused = outcome.map_or_else(|error| Some(error.kind()), |_| None);
        let expected = weak.then_some(ErrorKind::WeakPlaintext);
        assert_eq!(refused, expected, "{plaintext}");
        if weak {
            assert_eq!(
                verdict(&ring, &plaintext).await,
                invalid(InvalidCause::Unknown)
            );
            ring.import_insecure_plaintext(alice(), &plaintext)
                .await
                .unwrap();
        }
        assert_eq!(verdict(&ring, &plaintext).await, Ok("alice".to_owned()));
    }
}

#[tokio::test]
async fn what_no_header_can_carry_is_not_imported() {
    let ring = importing();
    for plaintext in [
        format!("{STRONG},"),
        format!("{STRONG},{STRONG}"),
        format!("{STRONG} "),
        format!(" {STRONG}"),
        format!("{STRONG} {STRONG}"),
        format!("{STRONG}\t"),
        format!("{STRONG}\n"),
        format!("{STRONG}\0"),
        format!("{STRONG}\u{7f}"),
        format!("{STRONG}é"),
        "aB3-".repeat(128) + "x",
    ] {
        assert_refused(
            ring.import_plaintext(alice(), &plaintext).await,
            ErrorKind::InvalidPlaintext,
        );
        assert_refused(
            ring.import_insecure_plaintext(alice(), &plaintext).await,
            ErrorKind::InvalidPlaintext,
        );
        assert_eq!(
            verdict(&ring, &plaintext).await,
            invalid(InvalidCause::Malformed)
        );
    }
    assert_refused(
        ring.import_insecure_plaintext(alice(), "").await,
        ErrorKind::InvalidPlaintext,
    );
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().records(), []);

    let longest = "aB3-".repeat(128);
    ring.import_plaintext(alice(), &longest).await.unwrap();
    assert_eq!(verdict(&ring, &longest).await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn a_ring_that_does_not_say_so_accepts_no_import() {
    let store = MemoryStore::new();
    let ring = KeyRing::builder("acme").build(store.clone()).unwrap();
    let refused = ErrorKind::ImportRefused;
    assert_refused(ring.import_plaintext(alice(), STRONG).await, refused);
    assert_refused(ring.import_insecure_plaintext(alice(), "x").await, refused);
    let digest = KeyDigest::sha256(STRONG.as_bytes());
    assert_refused(ring.import_digest(alice(), digest).await, refused);
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().records(), []);

    // A key that another ring imported into the same realm has no shape here, and is not looked up.
    let importing = KeyRing::builder("acme")
        .accept_imports()
        .build(store)
        .unwrap();
    importing.import_plaintext(alice(), STRONG).await.unwrap();
    assert_eq!(verdict(&importing, STRONG).await, Ok("alice".to_owned()));
    assert_eq!(
        verdict(&ring, STRONG).await,
        invalid(InvalidCause::Malformed)
    );
}

#[tokio::test]
async fn r08_a_peppered_ring_imports_plaintext_but_no_bare_digest() {
    let ring = KeyRing::builder("acme")
        .accept_imports()
        .pepper(Pepper::new(7, vec![7; 32]).unwrap())
        .build(MemoryStore::new())
        .unwrap();
    let digest = KeyDigest::sha256(STRONG.as_bytes());
    assert_refused(
        ring.import_digest(alice(), digest).await,
        ErrorKind::ImportRefused,
    );
    assert_eq!(verdict(&ring, STRONG).await, invalid(InvalidCause::Unknown));

    let record = ring.import_plaintext(alice(), STRONG).await.unwrap();
    assert_eq!(record.pepper_version(), Some(7));
    assert_ne!(*record.digest(), digest);
    assert_eq!(verdict(&ring, STRONG).await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn a_key_is_imported_once_over_all_realms() {
    let store = MemoryStore::new();
    let rings = ["orders", "billing"].map(|realm| {
        KeyRing::builder("acme")
            .realm(realm)
            .accept_imports()
            .build(store.clone())
            .unwrap()
    });
    let first = rings[0].import_plaintext(alice(), STRONG).await.unwrap();
    for ring in &rings {
        let digest = KeyDigest::sha256(STRONG.as_bytes());
        let mallory = || Grant::new("mallory").expires_in(super::DAY);
        assert_refused(
            ring.import_plaintext(mallory(), STRONG).await,
            ErrorKind::Duplicate,
        );
        assert_refused(
            ring.import_digest(mallory(), digest).await,
            ErrorKind::Duplicate,
        );
    }
    // The refused imports left no records.
    let held = rings[0].list(&ListQuery::new()).await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0], first);
    assert_eq!(
        rings[1].list(&ListQuery::new()).await.unwrap().records(),
        []
    );
    assert_eq!(verdict(&rings[0], STRONG).await, Ok("alice".to_owned()));
    assert_eq!(
        verdict(&rings[1], STRONG).await,
        invalid(InvalidCause::Unknown)
    );
}

#[tokio::test]
async fn an_import_is_within_the_rings_policy() {
    let ring = KeyRing::builder("acme")
        .clock(ManualClock::new(START))
        .accept_imports()
        .grantable_scopes(["read", "write"])
        .build(MemoryStore::new())
        .unwrap();
    let digest = KeyDigest::sha256(STRONG.as_bytes());
    let longest = super::DAY * 90;
    let too_long = ErrorKind::LifetimeTooLong { longest };
    let too_long_text = "lifetime too long: this ring grants at most 90d; let the imported key end sooner, or import it by a ring with a longer or unlimited lifetime";
    let lifetime = "invalid lifetime: a key must end after it begins, within 100 years and the \
                    year 9999 (milliseconds taken for seconds?), and later than every expiry that \
                    this ring has already enforced";
    for (grant, kind, text) in [
        (
            alice().expires_in(Duration::ZERO),
            ErrorKind::InvalidLifetime,
            lifetime,
        ),
        (
            alice().expires_in(Duration::MAX),
            ErrorKind::InvalidLifetime,
            lifetime,
        ),
        (
            alice().not_before(Timestamp::MAX),
            ErrorKind::InvalidLifetime,
            lifetime,
        ),
        (
            alice().expires_in(longest + Duration::from_secs(1)),
            too_long,
            too_long_text,
        ),
        (alice().never_expires(), too_long, too_long_text),
        (
            alice().scopes(["admin", "read"]),
            ErrorKind::ScopeNotGrantable,
            "scope not grantable: this ring grants only read write",
        ),
        (
            Grant::new("").expires_in(super::DAY),
            ErrorKind::InvalidSubject,
            "invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start",
        ),
    ] {
        for outcome in [
            ring.import_digest(grant.clone(), digest).await,
            ring.import_plaintext(grant.clone(), STRONG).await,
            ring.import_insecure_plaintext(grant, "hunter2").await,
        ] {
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        }
        assert_eq!(ring.list(&ListQuery::new()).await.unwrap().records(), []);
        for key in [STRONG, "hunter2"] {
            assert_eq!(verdict(&ring, key).await, invalid(InvalidCause::Unknown));
        }
    }
    let most = || alice().scopes(["read", "write"]).expires_in(longest);
    ring.import_digest(most(), digest).await.unwrap();
    ring.import_insecure_plaintext(most(), "hunter2")
        .await
        .unwrap();
}

/// Only the record of a revoked key blocks its digest: after a purge, it is forgotten.
#[tokio::test]
async fn a_revoked_key_is_imported_again_only_when_its_record_is_purged() {
    let clock = ManualClock::new(START);
    let ring = KeyRing::builder("acme")
        .clock(clock.clone())
        .accept_imports()
        .build(MemoryStore::new())
        .unwrap();
    let digest = KeyDigest::sha256(STRONG.as_bytes());
    let first = ring.import_digest(alice(), digest).await.unwrap();
    ring.revoke(first.id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let second = Duration::from_secs(1);
    let last_kept = (super::DAY * 30).saturating_sub(second);
    // The retention alone removes nothing.
    for (passed, purges) in [(Duration::ZERO, true), (last_kept, true), (second, false)] {
        clock.advance(passed);
        if purges {
            assert_eq!(ring.purge().await.unwrap(), 0);
        }
        let before = ring.list(&ListQuery::new()).await.unwrap();
        for outcome in [
            ring.import_digest(alice(), digest).await,
            ring.import_plaintext(alice(), STRONG).await,
            ring.import_insecure_plaintext(alice(), STRONG).await,
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Duplicate);
            assert_eq!(
                error.to_string(),
                "the store already holds this id or digest"
            );
        }
        assert_eq!(
            ring.list(&ListQuery::new()).await.unwrap().records(),
            before.records()
        );
        assert_eq!(verdict(&ring, STRONG).await, invalid(InvalidCause::Revoked));
    }
    assert_eq!(ring.purge().await.unwrap(), 1);
    assert_eq!(verdict(&ring, STRONG).await, invalid(InvalidCause::Unknown));
    let again = ring.import_digest(alice(), digest).await.unwrap();
    assert_ne!(again.id(), first.id());
    assert_eq!(verdict(&ring, STRONG).await, Ok("alice".to_owned()));
}
