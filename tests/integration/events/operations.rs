//! The events of changes to a key.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_api_key::store::{KeyStore, MemoryStore, StoreErrorKind};
use tower_api_key::{
    Description, ErrorKind, EventKind, Grant, KeyId, KeyRecord, KeyRing, ManualClock,
    RevocationReason, observer_fn,
};

use super::{Recorder, Told, about};
use crate::ring::stores::Tapped;
use crate::support::{IMPORTED, START, issue, poll_once};

const HOUR: Duration = Duration::from_hours(1);

fn observed(store: impl KeyStore) -> (KeyRing, Recorder) {
    let recorder = Recorder::default();
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .accept_imports()
        .observer(recorder.clone())
        .build(store)
        .unwrap();
    (ring, recorder)
}

fn revoked(reason: RevocationReason, record: &KeyRecord) -> Told {
    about(EventKind::Revoked { reason }, record)
}

#[tokio::test]
async fn each_operation_is_told_once_and_in_order() {
    let (ring, recorder) = observed(MemoryStore::new());
    let first = issue(&ring, "read write").await;
    assert_eq!(recorder.take(), [about(EventKind::Issued, first.record())]);

    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    let replaced = first.record().id();
    let rotated = about(EventKind::Rotated { replaced }, second.record());
    assert_eq!(recorder.take(), [rotated], "in its grace a key is not dead");

    let read = "read".parse().unwrap();
    let narrowed = ring.narrow(second.record().id(), &read).await.unwrap();
    assert_eq!(
        recorder.take(),
        [
            about(EventKind::Narrowed, &narrowed),
            revoked(RevocationReason::PrivilegeWithdrawn, first.record()),
        ]
    );
    ring.narrow(second.record().id(), &read).await.unwrap();
    assert_eq!(recorder.take(), [], "nothing was taken away");

    let label = || Description::new().label("laptop");
    let described = ring.describe(second.record().id(), label()).await.unwrap();
    assert_eq!(recorder.take(), [about(EventKind::Described, &described)]);
    ring.describe(second.record().id(), label()).await.unwrap();
    assert_eq!(recorder.take(), [], "nothing was changed");

    let third = ring.rotate_now(second.record().id()).await.unwrap();
    let replaced = second.record().id();
    assert_eq!(
        recorder.take(),
        [
            about(EventKind::Rotated { replaced }, third.record()),
            revoked(RevocationReason::Superseded, second.record()),
        ]
    );

    let grant = Grant::new("bob").scopes(["admin"]);
    let fourth = ring.regrant(third.record().id(), grant).await.unwrap();
    let replaced = third.record().id();
    assert_eq!(fourth.record().subject(), "bob");
    assert_eq!(
        recorder.take(),
        [
            about(EventKind::Regranted { replaced }, fourth.record()),
            revoked(RevocationReason::Superseded, third.record()),
        ]
    );

    let reason = RevocationReason::KeyCompromise;
    for expected in [vec![revoked(reason, fourth.record())], vec![]] {
        ring.revoke(fourth.record().id(), reason).await.unwrap();
        assert_eq!(recorder.take(), expected);
    }

    let carol = Grant::new("carol").expires_in(HOUR);
    let imported = ring.import_plaintext(carol, IMPORTED).await.unwrap();
    assert_eq!(recorder.take(), [about(EventKind::Imported, &imported)]);

    let key = fourth.secret().expose().as_bytes();
    ring.verify(key).await.unwrap_err();
    ring.get(imported.id()).await.unwrap();
    ring.purge().await.unwrap();
    assert_eq!(recorder.take(), [], "a ring alone tells of no verdict");
}

#[tokio::test]
async fn a_revocation_of_several_keys_tells_of_each() {
    let (ring, recorder) = observed(MemoryStore::new());
    let first = issue(&ring, "read").await;
    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    let mut other = issue(&ring, "read").await.record().clone();
    recorder.take();

    let reason = RevocationReason::AffiliationChanged;
    let count = ring.revoke_lineage(second.record().id(), reason).await;
    assert_eq!(count.unwrap(), 2);
    let mut expected = vec![
        revoked(reason, first.record()),
        revoked(reason, second.record()),
    ];
    expected.sort_by_key(|told| told.key_id);
    assert_eq!(recorder.take(), expected);

    assert_eq!(ring.revoke_subject("alice", reason).await.unwrap(), 1);
    assert_eq!(recorder.take(), [revoked(reason, &other)]);
    assert_eq!(ring.revoke_subject("alice", reason).await.unwrap(), 0);
    assert_eq!(recorder.take(), []);

    other = issue(&ring, "read").await.record().clone();
    assert_eq!(recorder.take(), [about(EventKind::Issued, &other)]);
}

#[tokio::test]
async fn a_narrowing_that_takes_no_scope_tells_only_of_what_it_ended() {
    let (ring, recorder) = observed(MemoryStore::new());
    let first = issue(&ring, "read").await;
    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    recorder.take();
    let read = "read".parse().unwrap();
    ring.narrow(second.record().id(), &read).await.unwrap();
    let reason = RevocationReason::PrivilegeWithdrawn;
    assert_eq!(recorder.take(), [revoked(reason, first.record())]);
    ring.narrow(second.record().id(), &read).await.unwrap();
    assert_eq!(recorder.take(), []);
}

#[tokio::test]
async fn a_promotion_tells_each_ring_of_its_own_key() {
    for shared in [true, false] {
        let store = MemoryStore::new();
        let recorder = Recorder::default();
        let visitors = KeyRing::builder("visit")
            .observer(recorder.clone())
            .build(store.clone())
            .unwrap();
        let store = if shared { store } else { MemoryStore::new() };
        let (customers, customer_events) = observed(store);
        let temporary = issue(&visitors, "cart").await;
        let replaced = temporary.record().id();
        recorder.take();

        let real = customers
            .promote(&visitors, replaced, Grant::new("bob"))
            .await
            .unwrap();
        assert_eq!(
            recorder.take(),
            [revoked(RevocationReason::Superseded, temporary.record())]
        );
        assert_eq!(
            customer_events.take(),
            [about(EventKind::Regranted { replaced }, real.record())]
        );
    }
}

#[tokio::test]
async fn what_is_refused_is_not_told() {
    let (ring, recorder) = observed(MemoryStore::new());
    let nobody: KeyId = "0123456789AB".parse().unwrap();
    let first = issue(&ring, "read").await;
    let second = ring.rotate(first.record().id(), HOUR).await.unwrap();
    recorder.take();
    let (old, id) = (first.record().id(), second.record().id());
    let alice = || Grant::new("alice");
    let write = "write".parse().unwrap();

    let kinds = [
        ring.issue(alice().never_expires()).await.map(|_| ()),
        ring.import_plaintext(alice(), "weak").await.map(|_| ()),
        ring.rotate(nobody, HOUR).await.map(|_| ()),
        ring.rotate(old, HOUR).await.map(|_| ()),
        ring.rotate_now(old).await.map(|_| ()),
        ring.regrant(old, alice()).await.map(|_| ()),
        ring.narrow(id, &write).await.map(|_| ()),
        ring.revoke(nobody, RevocationReason::KeyCompromise).await,
    ]
    .map(|outcome| outcome.unwrap_err().kind());
    assert_eq!(recorder.take(), []);
    assert_eq!(
        kinds,
        [
            ErrorKind::LifetimeTooLong {
                longest: 90 * 24 * HOUR
            },
            ErrorKind::WeakPlaintext,
            ErrorKind::NotFound,
            ErrorKind::InGrace,
            ErrorKind::InGrace,
            ErrorKind::InGrace,
            ErrorKind::WouldWiden,
            ErrorKind::NotFound,
        ]
    );
}

#[tokio::test]
async fn what_the_store_did_not_take_is_not_told() {
    for (kind, expected) in [
        (StoreErrorKind::Unavailable, ErrorKind::Store),
        (StoreErrorKind::Conflict, ErrorKind::Conflict),
        (StoreErrorKind::Duplicate, ErrorKind::Duplicate),
    ] {
        let store = MemoryStore::new();
        let id = issue(&observed(store.clone()).0, "read write")
            .await
            .record()
            .id();
        let refusing = Tapped::new(&store)
            .before_commit(move |_| Err(kind.into()))
            .before_revoke(move |_| Err(kind.into()));
        let (ring, recorder) = observed(refusing);
        let alice = || Grant::new("alice");
        let reason = RevocationReason::KeyCompromise;
        let outcomes = [
            ring.issue(alice()).await.map(|_| ()),
            ring.import_plaintext(alice().expires_in(HOUR), IMPORTED)
                .await
                .map(|_| ()),
            ring.rotate(id, HOUR).await.map(|_| ()),
            ring.rotate_now(id).await.map(|_| ()),
            ring.regrant(id, alice()).await.map(|_| ()),
            ring.narrow(id, &"read".parse().unwrap()).await.map(|_| ()),
            ring.revoke(id, reason).await,
            ring.revoke_lineage(id, reason).await.map(|_| ()),
            ring.revoke_subject("alice", reason).await.map(|_| ()),
        ];
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().kind(), expected);
        }
        assert_eq!(recorder.take(), [], "{kind:?}");
    }
}

/// The event, and the store's record of the key at that time.
type Seen = (EventKind, Option<Arc<KeyRecord>>);

#[tokio::test]
async fn an_event_comes_after_its_commit() {
    let store = MemoryStore::new();
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let (reading, writing) = (store.clone(), Arc::clone(&seen));
    let observer = observer_fn(move |event| {
        let (realm, id) = (event.realm().unwrap(), event.key_id().unwrap());
        let std::task::Poll::Ready(found) = poll_once(&mut reading.get(realm, id)) else {
            panic!("a memory store answers at once");
        };
        writing.lock().unwrap().push((event.kind(), found.unwrap()));
    });
    let ring = KeyRing::builder("acme")
        .clock(ManualClock::new(START))
        .observer(observer)
        .build(store)
        .unwrap();
    let id = issue(&ring, "read write").await.record().id();
    let id = ring.rotate(id, HOUR).await.unwrap().record().id();
    ring.narrow(id, &"read".parse().unwrap()).await.unwrap();
    let id = ring.rotate_now(id).await.unwrap().record().id();
    let regranted = ring.regrant(id, Grant::new("alice")).await.unwrap();
    ring.revoke(regranted.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), 9);
    for (kind, record) in seen {
        let record = record.expect("the store has what was told");
        match kind {
            EventKind::Revoked { reason } => {
                let revocation = record.revocation().expect("revoked in the store too");
                assert_eq!(revocation.reason, reason);
            }
            EventKind::Narrowed => assert_eq!(record.scopes().as_str(), "read"),
            _ => assert_eq!((record.revocation(), record.version()), (None, 1)),
        }
    }
}
