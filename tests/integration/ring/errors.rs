//! The text of each error, and how a ring handles a store that refuses.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::AUTHORIZATION;
use tower_api_key::store::{KeyStore, MemoryStore, StoreError, StoreErrorKind};
use tower_api_key::{
    Error, ErrorKind, Grant, InvalidCause, KeyDigest, KeyId, KeyRing, Pepper, Realm, Requirement,
    RevocationReason, Scope, Source,
};

use super::stores::Tapped;
use super::{invalid, verdict};

const INVALID_LABEL: &str = "invalid label: use up to 256 bytes without control and format characters, and no = at the start";
const INVALID_METADATA: &str =
    "invalid metadata: use up to 8 KiB of names and values without U+0000";

/// A ring over a store whose commits end like this.
fn committing(outcome: StoreErrorKind) -> KeyRing {
    let store = MemoryStore::new();
    let refusing = Tapped::new(&store).before_commit(move |_| Err(outcome.into()));
    KeyRing::builder("acme").build(refusing).unwrap()
}

fn error<T>(outcome: Result<T, Error>) -> Error {
    outcome.map(|_| ()).unwrap_err()
}

fn assert_texts(table: impl IntoIterator<Item = (Error, ErrorKind, &'static str)>) {
    for (error, kind, text) in table {
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn what_describes_a_key_may_be_as_long_as_the_limits() {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let grant = Grant::new("alice")
        .label("a".repeat(256))
        .metadata([("a", "b".repeat(8191))]);
    let issued = ring.issue(grant).await.unwrap();
    assert_eq!(
        issued.record().metadata().get("a").map(str::len),
        Some(8191)
    );
}

#[tokio::test]
async fn what_does_not_parse_is_told_what_would() {
    let plain = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let nothing: [&str; 0] = [];
    let table = [
        (
            error(KeyRing::builder("Acme").build(MemoryStore::new())),
            ErrorKind::InvalidPrefix,
            "invalid key prefix: use 1 to 20 of a-z, 0-9 and _, starting with a letter and not ending in _",
        ),
        (
            error(Realm::new("a\"b")),
            ErrorKind::InvalidRealm,
            "invalid realm: use 1 to 64 printable ASCII characters without \" and \\",
        ),
        (
            error(Scope::new("a b")),
            ErrorKind::InvalidScope,
            "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\",
        ),
        (
            error(Requirement::all(nothing)),
            ErrorKind::EmptyRequirement,
            "empty requirement: name at least one scope",
        ),
        (
            error(plain.issue(Grant::new("")).await),
            ErrorKind::InvalidSubject,
            "invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start",
        ),
        (
            error(
                plain
                    .issue(Grant::new("alice").label("a".repeat(257)))
                    .await,
            ),
            ErrorKind::InvalidLabel,
            INVALID_LABEL,
        ),
        (
            error(plain.issue(Grant::new("alice").label("a\nb")).await),
            ErrorKind::InvalidLabel,
            INVALID_LABEL,
        ),
        (
            error(
                plain
                    .issue(Grant::new("alice").metadata([("a", "\0")]))
                    .await,
            ),
            ErrorKind::InvalidMetadata,
            INVALID_METADATA,
        ),
        (
            error(
                plain
                    .issue(Grant::new("alice").metadata([("a", "b".repeat(8192))]))
                    .await,
            ),
            ErrorKind::InvalidMetadata,
            INVALID_METADATA,
        ),
        (
            error("x".parse::<KeyId>()),
            ErrorKind::InvalidKeyId,
            "invalid key id: expected the 12 characters before the last _ of a key",
        ),
        (
            error("x".parse::<KeyDigest>()),
            ErrorKind::InvalidDigest,
            "invalid digest: expected 64 hexadecimal digits",
        ),
        (
            error("x".parse::<RevocationReason>()),
            ErrorKind::InvalidReason,
            "invalid revocation reason: expected unspecified, key_compromise, affiliation_changed, superseded, cessation_of_operation or privilege_withdrawn",
        ),
        (
            error(Source::header(AUTHORIZATION)),
            ErrorKind::InvalidCarrier,
            "invalid carrier: this header or scheme has a meaning of its own, or its name is no token; use a header such as x-api-key, or the scheme Bearer of Authorization",
        ),
    ];
    assert_texts(table);
}

#[tokio::test]
async fn what_a_ring_refuses_is_told_what_it_grants() {
    let plain = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let importing = KeyRing::builder("acme")
        .accept_imports()
        .build(MemoryStore::new())
        .unwrap();
    let nobody: KeyId = "0123456789AB".parse().unwrap();
    let digest = KeyDigest::sha256(b"x");
    let alice = || Grant::new("alice");
    let table = [
        (
            error(plain.issue(alice().expires_in(Duration::ZERO)).await),
            ErrorKind::InvalidLifetime,
            "invalid lifetime: a key must end after it begins, within 100 years and the year 9999 \
             (milliseconds taken for seconds?), and later than every expiry that this ring has \
             already enforced",
        ),
        (
            error(plain.issue(alice().never_expires()).await),
            ErrorKind::LifetimeTooLong {
                longest: super::DAY * 90,
            },
            "lifetime too long: this ring grants at most 90d",
        ),
        (
            error(Pepper::new(1, vec![1; 31])),
            ErrorKind::InvalidPepper,
            "invalid pepper: use at least 32 random bytes, each version once, and earlier peppers only in addition to a current one",
        ),
        (
            error(plain.import_digest(alice(), digest).await),
            ErrorKind::ImportRefused,
            "import refused: this ring does not accept imported keys, or it has a pepper and \
             accepts only plaintext, not digests",
        ),
        (
            error(importing.import_insecure_plaintext(alice(), "a,b").await),
            ErrorKind::InvalidPlaintext,
            "invalid plaintext: use 1 to 512 visible ASCII characters without commas, and no mistyped key of this ring",
        ),
        (
            error(importing.import_plaintext(alice(), "hunter2").await),
            ErrorKind::WeakPlaintext,
            "weak plaintext: under 128 bits by length and alphabet; issue a new key instead",
        ),
        (
            error(plain.revoke(nobody, RevocationReason::Unspecified).await),
            ErrorKind::NotFound,
            "no such key in this realm",
        ),
        (
            error(committing(StoreErrorKind::Conflict).issue(alice()).await),
            ErrorKind::Conflict,
            "the record was changed by another writer; read it and try again",
        ),
        (
            error(committing(StoreErrorKind::Duplicate).issue(alice()).await),
            ErrorKind::Duplicate,
            "the store already holds this id or digest",
        ),
        (
            error(committing(StoreErrorKind::Unavailable).issue(alice()).await),
            ErrorKind::Store,
            "the key store failed",
        ),
    ];
    assert_texts(table);
}

#[tokio::test]
async fn a_store_error_is_the_source_of_the_rings() {
    let store = Tapped::new(&MemoryStore::new())
        .before_commit(|_| Err(StoreError::unavailable("connection refused")));
    let ring = KeyRing::builder("acme").build(store).unwrap();
    let error = error(ring.issue(Grant::new("alice")).await);
    let source = error.source().unwrap();
    assert_eq!(source.to_string(), "the store is unavailable");
    let kind = source.downcast_ref::<StoreError>().unwrap().kind();
    assert_eq!(kind, StoreErrorKind::Unavailable);
    assert_eq!(source.source().unwrap().to_string(), "connection refused");

    for (kind, text) in [
        (
            StoreErrorKind::Conflict,
            "the records are not as the change expects them",
        ),
        (StoreErrorKind::Duplicate, "the id or the digest is taken"),
        (StoreErrorKind::Unavailable, "the store is unavailable"),
    ] {
        assert_eq!(StoreError::from(kind).to_string(), text);
    }
}

#[tokio::test]
async fn a_change_is_tried_thirty_two_times() {
    for (conflicts, expected) in [(0, Ok(())), (31, Ok(())), (32, Err(ErrorKind::Conflict))] {
        let store = MemoryStore::new();
        let plain = KeyRing::builder("acme").build(store.clone()).unwrap();
        let issued = plain.issue(Grant::new("alice")).await.unwrap();
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let contended = Tapped::new(&store).before_commit(move |_| {
            if counted.fetch_add(1, Ordering::Relaxed) < conflicts {
                return Err(StoreErrorKind::Conflict.into());
            }
            Ok(())
        });
        let ring = KeyRing::builder("acme").build(contended).unwrap();
        let outcome = ring.rotate_now(issued.record().id()).await;
        let outcome = outcome.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(outcome, expected, "after {conflicts} conflicts");
        assert_eq!(attempts.load(Ordering::Relaxed), 32.min(conflicts + 1));
        let key = verdict(&plain, issued.secret().expose()).await;
        if expected.is_ok() {
            assert_eq!(key, invalid(InvalidCause::Replaced));
        } else {
            assert_eq!(key, Ok("alice".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_revocation_does_not_report_what_the_store_did_not_do() {
    for (kind, expected) in [
        (StoreErrorKind::Unavailable, ErrorKind::Store),
        (StoreErrorKind::Duplicate, ErrorKind::Duplicate),
    ] {
        let store = MemoryStore::new();
        let plain = KeyRing::builder("acme").build(store.clone()).unwrap();
        let id = plain
            .issue(Grant::new("alice"))
            .await
            .unwrap()
            .record()
            .id();
        let failing = Tapped::new(&store).before_revoke(move |_| Err(kind.into()));
        let ring = KeyRing::builder("acme").build(failing).unwrap();
        let outcome = ring.revoke(id, RevocationReason::KeyCompromise).await;
        assert_eq!(error(outcome).kind(), expected);
    }
}

#[tokio::test]
async fn a_change_applies_once_and_only_where_it_was_meant_to() {
    let store = MemoryStore::new();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let recording = Tapped::new(&store).recording(&changes);
    let ring = KeyRing::builder("acme").build(recording).unwrap();
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let id = issued.record().id();
    ring.rotate_now(id).await.unwrap();
    let [issue, rotate] =
        <[_; 2]>::try_from(std::mem::take(&mut *changes.lock().unwrap())).unwrap();
    let ended = ring.get(id).await.unwrap().unwrap();

    // Neither revives an ended key, nor ends it once more.
    for (change, kind) in [
        (&issue, StoreErrorKind::Duplicate),
        (&rotate, StoreErrorKind::Duplicate),
    ] {
        let error = store.commit(change).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(ring.get(id).await.unwrap().unwrap(), ended);
        let key = issued.secret().expose();
        assert_eq!(verdict(&ring, key).await, invalid(InvalidCause::Replaced));
    }

    // In another store, the rotation of a missing key changes nothing. The two in order do.
    let other = MemoryStore::new();
    let ring = KeyRing::builder("acme").build(other.clone()).unwrap();
    let error = other.commit(&rotate).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(ring.get(id).await.unwrap(), None);
    for change in [&issue, &rotate] {
        other.commit(change).await.unwrap();
    }
    assert_eq!(ring.get(id).await.unwrap().unwrap(), ended);
}
