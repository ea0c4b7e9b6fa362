//! `import_many`: few commits, a separate result for each key, and safe to run again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tower_api_key::store::{
    BoxFuture, Change, KeyStore, ListQuery, MemoryStore, StoreError, StoreErrorKind,
};
use tower_api_key::{
    Error, ErrorKind, EventKind, Grant, Import, Imported, KeyDigest, KeyRing, KeyRingBuilder,
    ManualClock, OldKey, Pepper, RevocationReason, Timestamp, observer_fn,
};

use super::{DAY, grant, verdict};
use crate::support::START;

/// Counts commits, and lets the test make them fail.
#[derive(Clone, Default)]
struct Counting {
    store: MemoryStore,
    commits: Arc<AtomicUsize>,
    /// The commit that fails, by its number.
    failing: Arc<AtomicUsize>,
    /// A ring that imports a key just before the next commit.
    rival: Arc<Mutex<Option<KeyRing>>>,
}

impl KeyStore for Counting {
    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        let number = 1 + self.commits.fetch_add(1, Ordering::Relaxed);
        if number == self.failing.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreErrorKind::Unavailable.into()) });
        }
        let rival = self.rival.lock().unwrap().take();
        Box::pin(async move {
            if let Some(rival) = rival {
                rival.import_plaintext(grant(), &key(1)).await.unwrap();
            }
            self.store.commit(change).await
        })
    }
    crate::support::forward!(store: find, revoke, get, list, purge, record_uses, last_uses);
}

fn ring(store: impl KeyStore, build: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder) -> KeyRing {
    let builder = KeyRing::builder("acme").clock(ManualClock::new(START));
    build(builder.accept_imports()).build(store).unwrap()
}

fn key(number: usize) -> String {
    format!("old-key-4f9A7YqZr01mLw8Vx6p-{number}")
}

fn rows(numbers: std::ops::Range<usize>) -> Vec<(Import, OldKey)> {
    numbers
        .map(|number| (Import::new(grant()), OldKey::plaintext(key(number))))
        .collect()
}

/// `new`, `there`, or the kind of the error.
fn words(results: Vec<Result<Imported, Error>>) -> Vec<String> {
    let word = |result: Result<Imported, Error>| match result {
        Ok(imported) if imported.was_present() => "there".to_owned(),
        Ok(_) => "new".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    results.into_iter().map(word).collect()
}

#[tokio::test]
async fn a_hundred_keys_are_one_commit_and_each_is_told() {
    let store = Counting::default();
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    let ring = ring(store.clone(), |builder| {
        builder.observer(observer_fn(move |event| {
            assert_eq!(event.kind(), EventKind::Imported);
            counter.fetch_add(1, Ordering::Relaxed);
        }))
    });
    let results = ring.import_many(rows(0..250)).await.unwrap();
    assert_eq!(words(results), vec!["new"; 250]);
    assert_eq!(store.commits.load(Ordering::Relaxed), 3);
    assert_eq!(told.load(Ordering::Relaxed), 250);
    assert_eq!(verdict(&ring, &key(249)).await, Ok("alice".to_owned()));

    let results = ring.import_many(rows(0..251)).await.unwrap();
    assert_eq!(words(results), [vec!["there"; 250], vec!["new"]].concat());
    assert_eq!(store.commits.load(Ordering::Relaxed), 4);
    assert_eq!(told.load(Ordering::Relaxed), 251);
}

#[tokio::test]
async fn a_key_that_is_refused_keeps_no_other_out() {
    let store = Counting::default();
    let ring = ring(store.clone(), |builder| {
        builder.grantable_scopes(["read"]).max_keys_per_subject(2)
    });
    let billing = KeyRing::builder("acme")
        .realm("billing")
        .accept_imports()
        .build(store.clone())
        .unwrap();
    billing.import_plaintext(grant(), &key(9)).await.unwrap();
    let plaintext = |grant: Grant, key: &str| (Import::new(grant), OldKey::plaintext(key));
    let bob = || Grant::new("bob").expires_in(DAY);
    let results = ring
        .import_many([
            plaintext(grant(), &key(0)),
            plaintext(Grant::new("alice"), &key(1)),
            plaintext(grant().scopes(["admin"]), &key(2)),
            plaintext(grant(), "weak"),
            plaintext(grant(), "a b"),
            plaintext(grant().expires_in(DAY * 91), &key(3)),
            plaintext(grant().expires_at(START), &key(4)),
            plaintext(Grant::new("").expires_in(DAY), &key(5)),
            (
                Import::new(grant()).issued_at(Timestamp::from_unix(START.as_unix() + 1)),
                OldKey::plaintext(key(6)),
            ),
            // The same key again, unchanged and changed.
            plaintext(grant(), &key(0)),
            plaintext(bob(), &key(0)),
            // The third of a subject that may have two.
            plaintext(grant(), &key(7)),
            plaintext(grant(), &key(8)),
            plaintext(bob(), &key(10)),
            // It is in another realm, and this ring does not see it there.
            plaintext(bob(), &key(9)),
            plaintext(Grant::new("carol").expires_in(DAY), &key(11)),
            (
                Import::new(grant()),
                OldKey::sanctum("1", KeyDigest::sha256(b"x")),
            ),
        ])
        .await
        .unwrap();
    let expected = [
        "new",
        "ExpiryNotSaid",
        "ScopeNotGrantable",
        "WeakPlaintext",
        "InvalidPlaintext",
        "LifetimeTooLong { longest: 7776000s }",
        "KeyExpired",
        "InvalidSubject",
        "InvalidIssuedAt",
        "there",
        "ImportDiffers",
        "new",
        "TooManyKeys { limit: 2 }",
        "new",
        "Duplicate",
        "new",
        "ImportRefused",
    ];
    assert_eq!(words(results), expected);
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_key_that_is_there_with_something_else_says_with_what() {
    let ring = ring(MemoryStore::new(), KeyRingBuilder::unlimited_lifetime);
    let earlier = Timestamp::from_unix(START.as_unix() - 1_000);
    let end = START.checked_add(DAY).unwrap();
    let grant = || {
        Grant::new("alice")
            .scopes(["read", "write"])
            .expires_at(end)
            .label("laptop")
            .metadata([("plan", "gold")])
    };
    let import = || Import::new(grant()).issued_at(earlier);
    let again = async |import: Import| {
        let mut results = ring
            .import_many([(import, OldKey::plaintext(key(0)))])
            .await
            .unwrap();
        results
            .remove(0)
            .map(|imported| imported.was_present())
            .map_err(|error| {
                assert_eq!(error.kind(), ErrorKind::ImportDiffers);
                error.to_string()
            })
    };
    assert_eq!(again(import()).await, Ok(false));
    let id = ring.list(&ListQuery::new()).await.unwrap()[0].id();
    assert_eq!(again(import()).await, Ok(true));
    // A field that is not given is not compared.
    assert_eq!(again(Import::new(grant())).await, Ok(true));
    let differs = |fields: &str| Err(format!("the store holds this key with another {fields}"));
    for (import, fields) in [
        (Import::new(grant().scopes(["read"])), "scopes"),
        (Import::new(grant().never_expires()), "expiry"),
        (
            Import::new(grant().expires_at(START.checked_add(DAY * 2).unwrap())),
            "expiry",
        ),
        (Import::new(grant().expires_in(DAY / 2)), "expiry"),
        (Import::new(grant().not_before(earlier)), "start"),
        (import().issued_at(START), "time of issue"),
        (Import::new(grant().label("phone")), "label"),
        (
            Import::new(grant().metadata([("plan", "free")])),
            "metadata",
        ),
        (
            Import::new(Grant::new("bob").expires_at(end)),
            "subject, scopes, label, metadata",
        ),
    ] {
        assert_eq!(again(import).await, differs(fields));
    }
    // A lifetime that counts from the import is satisfied by an earlier end.
    assert_eq!(
        again(Import::new(grant().expires_in(DAY * 2))).await,
        Ok(true)
    );
    // Later changes of the key are not a difference, and nothing reverts them.
    ring.revoke(id, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    assert_eq!(again(import()).await, Ok(true));
    assert!(verdict(&ring, &key(0)).await.is_err());
}

#[tokio::test]
async fn an_import_keeps_its_time_of_issue_and_no_other_grant_can_say_one() {
    let ring = ring(MemoryStore::new(), |builder| builder);
    let minted = Timestamp::from_unix(1_500_000_000);
    let import = Import::new(grant()).issued_at(minted);
    let record = ring.import_plaintext(import, &key(0)).await.unwrap();
    assert_eq!((record.issued_at(), record.not_before()), (minted, START));
    assert_eq!(record.expires_at(), START.checked_add(DAY));
    // If there is none, it is the moment of the import. That moment itself is not in the future.
    let record = ring.import_plaintext(grant(), &key(1)).await.unwrap();
    assert_eq!(record.issued_at(), START);
    let now = Import::new(grant()).issued_at(START);
    ring.import_plaintext(now, &key(2)).await.unwrap();
    let next = Timestamp::from_unix(START.as_unix() + 1);
    // Not in the future, and not after its end, which is in the future too.
    for at in [next, START.checked_add(DAY * 2).unwrap(), Timestamp::MAX] {
        let import = Import::new(grant()).issued_at(at);
        let error = ring.import_plaintext(import, &key(3)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidIssuedAt);
        assert_eq!(
            error.to_string(),
            "invalid time of issue: an imported key cannot have been minted in the future"
        );
    }
}

#[tokio::test]
async fn r33_an_import_has_no_default_lifetime() {
    let ring = ring(MemoryStore::new(), KeyRingBuilder::unlimited_lifetime);
    let unsaid = || Grant::new("alice");
    let digest = KeyDigest::sha256(b"x");
    for outcome in [
        ring.import_plaintext(unsaid(), &key(0)).await,
        ring.import_insecure_plaintext(unsaid(), "weak").await,
        ring.import_digest(unsaid(), digest).await,
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ExpiryNotSaid);
    }
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().records(), []);
    let never = ring
        .import_plaintext(unsaid().never_expires(), &key(0))
        .await;
    assert_eq!(never.unwrap().expires_at(), None);
}

#[tokio::test]
async fn a_store_that_fails_ends_the_call_and_the_next_one_goes_on() {
    let store = Counting::default();
    store.failing.store(2, Ordering::Relaxed);
    let ring = ring(store.clone(), |builder| builder);
    let error = ring.import_many(rows(0..250)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().len(), 100);
    let results = ring.import_many(rows(0..250)).await.unwrap();
    assert_eq!(
        words(results),
        [vec!["there"; 100], vec!["new"; 150]].concat()
    );
}

/// A key that is stored under an earlier pepper already exists.
#[tokio::test]
async fn r08_a_batch_finds_keys_of_earlier_peppers() {
    let store = MemoryStore::new();
    let pepper = |version| Pepper::new(version, vec![0x5a; 32 + version as usize]).unwrap();
    let one = ring(store.clone(), |builder| builder.pepper(pepper(1)));
    let two = ring(store, |builder| {
        builder.pepper(pepper(2)).earlier_pepper(pepper(1))
    });
    let row = || [(Import::new(grant()), OldKey::plaintext(key(0)))];
    assert_eq!(words(one.import_many(row()).await.unwrap()), ["new"]);
    assert_eq!(words(two.import_many(row()).await.unwrap()), ["there"]);
    let digest = [(
        Import::new(grant()),
        OldKey::sha256(KeyDigest::sha256(b"x")),
    )];
    assert_eq!(
        words(two.import_many(digest).await.unwrap()),
        ["ImportRefused"]
    );
}

#[test]
fn r06_r35_what_is_imported_does_not_show_itself() {
    for (key, shown) in [
        (OldKey::plaintext("secret-key"), "OldKey(plaintext …)"),
        (
            OldKey::sha256(KeyDigest::sha256(b"secret-key")),
            "OldKey(sha256 …)",
        ),
        (
            OldKey::sanctum("7", KeyDigest::sha256(b"secret-key")),
            "OldKey(sanctum …)",
        ),
    ] {
        assert_eq!(format!("{key:?}"), shown);
    }
}

/// If another writer has made a group impossible, it is applied key by key.
#[tokio::test]
async fn invariant_12_a_key_that_another_writer_brought_meanwhile_is_there_and_the_others_are_new()
{
    for (realm, subject, word) in [
        ("acme", "alice", "there"),
        ("billing", "alice", "Duplicate"),
    ] {
        let store = Counting::default();
        let rival = KeyRing::builder("acme")
            .realm(realm)
            .clock(ManualClock::new(START))
            .accept_imports()
            .build(store.store.clone())
            .unwrap();
        *store.rival.lock().unwrap() = Some(rival);
        let ring = ring(store.clone(), |builder| builder);
        let results = ring.import_many(rows(0..4)).await.unwrap();
        assert_eq!(words(results), ["new", word, "new", "new"]);
        // One for all, and then one for each that is missing.
        let commits = if realm == "acme" { 4 } else { 5 };
        assert_eq!(store.commits.load(Ordering::Relaxed), commits);
        assert_eq!(verdict(&ring, &key(3)).await, Ok(subject.to_owned()));
    }
}

/// A handler can await it in a task.
#[test]
fn the_futures_of_imports_can_move_between_threads() {
    fn assert_send(_: impl Send) {}
    let ring = ring(MemoryStore::new(), |builder| builder);
    assert_send(ring.import_many(rows(0..1)));
    assert_send(ring.import_plaintext(grant(), "x"));
    assert_send(ring.import_digest(grant(), KeyDigest::sha256(b"x")));
}
