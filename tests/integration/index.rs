//! Records in memory that answer only while they are fresh (rules 21 and 22).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tower_api_key::store::{
    BoxFuture, Change, Freshness, Index, KeyStore, Lookup, MemoryStore, StoreError,
};
use tower_api_key::{
    Clock, Grant, InvalidCause, KeyDigest, KeyRecord, KeyRing, ManualClock, Realm, Revocation,
    RevocationReason, SystemClock, VerifyErrorKind,
};

use crate::support::START;

/// A store with a copy of its records in an index, which a test fills.
#[derive(Clone)]
struct Replica {
    records: MemoryStore,
    index: Index,
    asked: Arc<AtomicUsize>,
    is_down: bool,
}

impl Replica {
    fn new(freshness: Freshness) -> Self {
        Self {
            records: MemoryStore::new(),
            index: Index::new(freshness),
            asked: Arc::default(),
            is_down: false,
        }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl KeyStore for Replica {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_down {
            return Lookup::Ready(Err(StoreError::unavailable("the database is down")));
        }
        self.records.find(realm, digest)
    }

    fn index(&self, _: &Realm) -> Option<&Index> {
        Some(&self.index)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.records.commit(change)
    }

    crate::support::forward!(records: revoke, get, list, purge, record_uses, last_uses);
}

fn ring(store: Replica) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .build(store)
        .unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

/// An answer that came at once.
fn renew(freshness: &Freshness, bound: Duration) {
    freshness.renew(freshness.ask().unwrap(), bound);
}

#[tokio::test]
async fn r22_a_fresh_index_answers_and_a_stale_one_never_does() {
    let clock = ManualClock::new(START);
    let replica = Replica::new(Freshness::leased_by(clock.clone()));
    let ring = ring(replica.clone());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let key = issued.secret().expose().as_bytes();
    replica.index.put(issued.record().clone());

    // Nothing has proven it yet.
    ring.verify(key).await.unwrap();
    assert_eq!(replica.asked(), 1);

    renew(replica.index.freshness(), SECOND);
    ring.verify(key).await.unwrap();
    assert_eq!(replica.asked(), 0);

    // Revoked in the database, and the copy does not know. It answers until its proof ends, and no longer.
    ring.revoke(issued.id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    ring.verify(key).await.unwrap();
    clock.advance(Duration::from_nanos(999_999_999));
    ring.verify(key).await.unwrap();
    assert_eq!(replica.asked(), 0);
    clock.advance(Duration::from_nanos(1));
    let error = ring.verify(key).await.unwrap_err();
    assert_eq!(
        error.kind(),
        VerifyErrorKind::Invalid(InvalidCause::Revoked)
    );
    assert_eq!(replica.asked(), 1);
}

#[tokio::test]
async fn r22_a_stale_index_over_a_dead_database_is_a_503() {
    let clock = ManualClock::new(START);
    let mut replica = Replica::new(Freshness::leased_by(clock.clone()));
    let issued = ring(replica.clone())
        .issue(Grant::new("alice"))
        .await
        .unwrap();
    let key = issued.secret().expose().as_bytes();
    replica.index.put(issued.record().clone());
    renew(replica.index.freshness(), SECOND);
    replica.is_down = true;
    let ring = ring(replica.clone());
    ring.verify(key).await.unwrap();
    clock.advance(SECOND);
    let error = ring.verify(key).await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    // An unknown key is not said to be unknown, except while the index is fresh.
    let unknown = crate::support::key(&crate::support::ring(), "").await;
    let error = ring.verify(unknown.as_bytes()).await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    assert_eq!(replica.asked(), 2);
    renew(replica.index.freshness(), SECOND);
    let error = ring.verify(unknown.as_bytes()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        VerifyErrorKind::Invalid(InvalidCause::Unknown)
    );
    assert_eq!(replica.asked(), 0);
}

#[test]
fn r22_a_proof_only_grows_and_ends_at_once() {
    let clock = ManualClock::new(START);
    let freshness = Freshness::leased_by(clock.clone());
    let asked = freshness.ask().unwrap();
    freshness.renew(asked, 2 * SECOND);
    // An earlier answer that comes late.
    freshness.renew(asked, SECOND);
    clock.advance(SECOND);
    assert!(freshness.is_fresh());
    let before = freshness.ask().unwrap();
    freshness.end();
    assert!(!freshness.is_fresh());
    // An answer of the history that has ended.
    freshness.renew(before, 3 * SECOND);
    assert!(!freshness.is_fresh());
    renew(&freshness, 3 * SECOND);
    assert!(freshness.is_fresh());
    // The wall clock has no say.
    clock.set(START.checked_add(Duration::from_hours(24)).unwrap());
    assert!(freshness.is_fresh());
}

/// The wall clock of a test's own counts no elapsed time.
#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> tower_api_key::Timestamp {
        START
    }
}

#[test]
fn r22_a_clock_that_does_not_count_elapsed_time_proves_nothing() {
    let freshness = Freshness::leased_by(Wall);
    assert!(freshness.ask().is_none());
    // Not even with the answer of another clock.
    let other = Freshness::leased_by(ManualClock::new(START));
    freshness.renew(other.ask().unwrap(), Duration::MAX);
    assert!(!freshness.is_fresh());
}

#[cfg(target_os = "linux")]
#[test]
fn the_system_counts_elapsed_time() {
    let before = SystemClock.elapsed().unwrap();
    let freshness = Freshness::leased();
    assert!(!freshness.is_fresh());
    renew(&freshness, Duration::from_hours(1));
    assert!(before <= SystemClock.elapsed().unwrap());
    assert!(freshness.is_fresh());
    freshness.end();
    assert!(!freshness.is_fresh());
}

async fn record() -> Arc<KeyRecord> {
    let ring = crate::support::ring();
    let grant = Grant::new("alice").scopes(["read", "write"]);
    ring.issue(grant).await.unwrap().record().clone()
}

fn edited(record: &KeyRecord, edit: impl FnOnce(&mut tower_api_key::KeyRecordParts)) -> KeyRecord {
    let mut parts = record.to_parts();
    edit(&mut parts);
    parts.into()
}

#[tokio::test]
async fn r21_a_late_answer_overwrites_no_newer_version() {
    let record = record().await;
    let narrowed = edited(&record, |parts| {
        parts.scopes = "read".parse().unwrap();
        parts.version = 2;
    });
    let index = Index::new(Freshness::always());
    let held = || index.find(record.realm(), record.digest()).unwrap();
    index.put(narrowed.clone());
    index.put(record.clone());
    assert_eq!(held().as_deref(), Some(&narrowed));

    // A revocation of a record at its last version does not raise it.
    let revoked = edited(&narrowed, |parts| {
        let reason = RevocationReason::Unspecified;
        parts.revocation = Some(Revocation::new(START, reason));
    });
    index.put(revoked.clone());
    index.put(narrowed);
    assert_eq!(held().as_deref(), Some(&revoked));

    // A database that has gone back, and on in another way.
    index.put(edited(&record, |parts| parts.version = 7));
    let revoked = edited(&revoked, |parts| parts.version = 7);
    assert_eq!(held().as_deref(), Some(&revoked));

    assert!(!index.remove(record.digest(), 6), "it is at version 7");
    assert!(index.remove(record.digest(), 7));
    assert!(!index.remove(record.digest(), 7));
    assert!(held().is_none() && index.is_empty());
}

#[tokio::test]
async fn r31_a_record_of_another_realm_is_not_found() {
    let record = record().await;
    let index = Index::new(Freshness::always());
    index.put(record.clone());
    let other = Realm::new("billing").unwrap();
    assert_eq!(index.find(&other, record.digest()), Some(None));
    assert!(index.contains(record.digest()));
    assert_eq!(index.len(), 1);
}
