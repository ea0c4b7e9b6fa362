//! Watching a key for the duration of a connection.

mod blind;
mod many;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tower_api_key::store::{
    BoxFuture, Change, KeyStore, Lookup, MemoryStore, Revoked, StoreError, StoreErrorKind, StoreId,
    Target,
};
use tower_api_key::{
    Actor, Error, ErrorKind, Grant, InvalidCause, KeyDigest, KeyRing, KeyRingBuilder, KeyState,
    ManualClock, Realm, Revocation, RevocationReason, VerifyErrorKind, Watch,
};

use self::blind::{Blind, Get};
use crate::events::Later;
use crate::support::{START, issue, poll_once};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const REASON: RevocationReason = RevocationReason::KeyCompromise;

fn ring_over(
    store: impl KeyStore,
    clock: &ManualClock,
    options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
) -> KeyRing {
    let builder = KeyRing::builder("acme").realm("orders");
    options(builder.clock(clock.clone())).build(store).unwrap()
}

fn fixture() -> (KeyRing, ManualClock, MemoryStore) {
    let (clock, store) = (ManualClock::new(START), MemoryStore::new());
    let ring = ring_over(store.clone(), &clock, |builder| builder);
    (ring, clock, store)
}

fn state(polled: Poll<Result<KeyState, Error>>) -> Poll<Result<KeyState, ErrorKind>> {
    polled.map(|outcome| outcome.map_err(|error| error.kind()))
}

#[track_caller]
fn assert_goes_on(watch: &mut Watch, what: &str) {
    assert_eq!(state(poll_once(watch)), Poll::Pending, "{what}");
}

#[track_caller]
fn assert_over(watch: &mut Watch, expected: KeyState) {
    assert_eq!(state(poll_once(watch)), Poll::Ready(Ok(expected)));
}

#[tokio::test]
async fn r32_whatever_ends_a_key_through_this_ring_ends_its_watch_at_once() {
    let (ring, clock, store) = fixture();
    let billing = KeyRing::builder("acme")
        .realm("billing")
        .clock(clock.clone())
        .build(store)
        .unwrap();
    let grant = || Grant::new("alice");
    for way in 0..8 {
        let issued = issue(&ring, "read write").await;
        let id = issued.record().id();
        // A watch that was never polled misses nothing either.
        let (mut watch, mut unpolled) = (ring.clone().watch(id), ring.watch(id));
        assert_goes_on(&mut watch, "nothing happened");
        match way {
            0 => ring.revoke(id, REASON).await.unwrap(),
            1 => assert_eq!(ring.revoke_lineage(id, REASON).await.unwrap(), 1),
            2 => assert_ne!(ring.revoke_subject("alice", REASON).await.unwrap(), 0),
            3 => drop(ring.rotate_now(id).await.unwrap()),
            4 => drop(ring.regrant(id, grant()).await.unwrap()),
            5 => drop(billing.promote(&ring, id, grant()).await.unwrap()),
            6 => {
                let new = ring.rotate(id, MINUTE).await.unwrap().record().id();
                assert_goes_on(&mut watch, "in its grace");
                ring.narrow(new, &"read".parse().unwrap()).await.unwrap();
            }
            _ => {
                let new = ring.rotate(id, MINUTE).await.unwrap().record().id();
                ring.rotate_now(new).await.unwrap();
            }
        }
        assert_over(&mut watch, KeyState::Revoked);
        assert_over(&mut unpolled, KeyState::Revoked);
        assert_over(&mut ring.watch(id), KeyState::Revoked);
    }
}

/// A ring with the old policy and one with the new, over one realm, both see the change.
#[tokio::test]
async fn r32_a_promotion_ends_the_watches_of_both_rings() {
    let (old, clock, store) = fixture();
    let new = ring_over(store, &clock, |builder| builder);
    let id = issue(&old, "read").await.record().id();
    let mut watches = [old.watch(id), new.watch(id)];
    for watch in &mut watches {
        assert_goes_on(watch, "before");
    }
    new.promote(&old, id, Grant::new("alice")).await.unwrap();
    for watch in &mut watches {
        assert_over(watch, KeyState::Revoked);
    }
}

#[tokio::test]
async fn a_change_wakes_the_watch_and_a_change_of_another_key_does_not_end_it() {
    let (ring, clock, _) = fixture();
    let (id, other) = (
        issue(&ring, "read").await.record().id(),
        issue(&ring, "read").await.record().id(),
    );
    let watch = tokio::spawn(ring.watch(id));
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_ne!(clock.sleepers(), 0, "the watch does not wait");
    ring.revoke(other, REASON).await.unwrap();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!watch.is_finished());
    ring.revoke(id, REASON).await.unwrap();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(watch.is_finished(), "nothing woke the watch");
    assert_eq!(watch.await.unwrap().unwrap(), KeyState::Revoked);
}

#[tokio::test]
async fn the_end_of_a_lineage_by_reuse_ends_the_watches() {
    let (clock, store) = (ManualClock::new(START), MemoryStore::new());
    let ring = ring_over(store, &clock, KeyRingBuilder::revoke_lineage_on_reuse);
    let old = issue(&ring, "read").await;
    let new = ring.rotate_now(old.record().id()).await.unwrap();
    let mut watch = ring.watch(new.record().id());
    assert_goes_on(&mut watch, "nothing happened");
    let reused = ring.verify(old.secret().expose().as_bytes()).await;
    assert_eq!(
        reused.unwrap_err().kind(),
        VerifyErrorKind::Invalid(InvalidCause::Replaced)
    );
    assert_over(&mut watch, KeyState::Revoked);
}

#[tokio::test]
async fn a_revoke_elsewhere_is_seen_after_the_interval() {
    let none: fn(KeyRingBuilder) -> KeyRingBuilder = |builder| builder;
    let other: fn(KeyRingBuilder) -> KeyRingBuilder =
        |builder| builder.watch_interval(Duration::from_millis(40));
    for (options, interval) in [(none, 500), (other, 40)] {
        let interval = Duration::from_millis(interval);
        let (elsewhere, clock, store) = fixture();
        let ring = ring_over(store, &clock, options);
        let id = issue(&ring, "read").await.record().id();
        let mut watch = ring.watch(id);
        assert_goes_on(&mut watch, "nothing happened");
        for _ in 0..10 {
            clock.advance(interval);
            assert_goes_on(&mut watch, "nothing happened");
        }
        elsewhere.revoke(id, REASON).await.unwrap();
        // Up to an eighth of the interval is left out.
        let earliest = interval * 7 / 8;
        clock.advance(earliest.saturating_sub(MILLISECOND));
        assert_goes_on(&mut watch, "it looks at its interval");
        clock.advance(interval.saturating_sub(earliest) + MILLISECOND);
        assert_over(&mut watch, KeyState::Revoked);
    }
}

#[tokio::test]
async fn invariant_10_a_watch_ends_with_the_lifetime_and_with_the_grace() {
    let (ring, clock, store) = fixture();
    // If a watch would check once an hour, it still checks at the end of the key.
    let rarely = ring_over(store, &clock, |builder| builder.watch_interval(60 * MINUTE));
    let brief = Grant::new("alice").expires_in(MINUTE);
    let expiring = ring.issue(brief.clone()).await.unwrap().record().id();
    let rotated = issue(&ring, "read").await.record().id();
    let new = ring.rotate(rotated, MINUTE).await.unwrap().record().id();
    let mut watches =
        [&ring, &rarely].map(|ring| (ring.watch(expiring), ring.watch(rotated), ring.watch(new)));
    for step in [Duration::ZERO, Duration::from_secs(59)] {
        clock.advance(step);
        for (expiring, rotated, new) in &mut watches {
            assert_goes_on(expiring, "not expired");
            assert_goes_on(rotated, "in its grace");
            assert_goes_on(new, "new");
        }
    }
    clock.advance(SECOND);
    for (expiring, rotated, new) in &mut watches {
        assert_over(expiring, KeyState::Expired);
        assert_over(rotated, KeyState::Replaced);
        assert_goes_on(new, "new");
    }
}

#[tokio::test]
async fn a_key_that_goes_on_is_watched_on() {
    let (clock, store) = (ManualClock::new(START), MemoryStore::new());
    let ring = ring_over(store, &clock, KeyRingBuilder::unlimited_lifetime);
    let narrowed = issue(&ring, "read write").await.record().id();
    let endless = ring.issue(Grant::new("alice").never_expires()).await;
    let start = START.checked_add(MINUTE).unwrap();
    let early = ring.issue(Grant::new("alice").not_before(start)).await;
    let ids = [
        narrowed,
        endless.unwrap().record().id(),
        early.unwrap().record().id(),
    ];
    let mut watches = ids.map(|id| ring.watch(id));
    for _ in 0..3 {
        for watch in &mut watches {
            assert_goes_on(watch, "live, or to be");
        }
        clock.advance(MINUTE);
    }
    ring.narrow(narrowed, &"read".parse().unwrap())
        .await
        .unwrap();
    assert_goes_on(&mut watches[0], "narrowed");
}

#[tokio::test]
async fn a_key_that_is_replaced_before_it_begins_ends_its_watch_then() {
    let (ring, clock, _) = fixture();
    let start = START.checked_add(60 * MINUTE).unwrap();
    let early = ring.issue(Grant::new("alice").not_before(start)).await;
    let id = early.unwrap().record().id();
    ring.rotate(id, MINUTE).await.unwrap();
    let mut watch = ring.watch(id);
    assert_goes_on(&mut watch, "in its grace");
    clock.advance(MINUTE + SECOND);
    assert_over(&mut watch, KeyState::Replaced);
}

#[tokio::test]
async fn r31_a_key_that_this_realm_does_not_know_cannot_be_watched() {
    let (ring, clock, store) = fixture();
    let billing = KeyRing::builder("acme")
        .realm("billing")
        .clock(clock.clone())
        .retention(Duration::ZERO)
        .build(store)
        .unwrap();
    let foreign = billing.issue(Grant::new("alice").expires_in(MINUTE)).await;
    let foreign = foreign.unwrap().record().id();
    for id in [foreign, "0123456789AB".parse().unwrap()] {
        let error = ring.watch(id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "no such key in this realm");
    }
    // Nor one whose record is gone meanwhile.
    let mut watch = billing.watch(foreign);
    assert_goes_on(&mut watch, "live");
    clock.advance(MINUTE);
    assert_eq!(billing.purge().await.unwrap(), 1);
    let gone = Poll::Ready(Err(ErrorKind::NotFound));
    assert_eq!(state(poll_once(&mut watch)), gone);
}

#[tokio::test]
async fn r20_a_store_that_fails_or_hangs_ends_the_watch() {
    for get in [Get::Fail, Get::Panic, Get::Hang] {
        let clock = ManualClock::new(START);
        let store = Blind::new();
        let ring = ring_over(store.clone(), &clock, |builder| builder);
        let id = issue(&ring, "read").await.record().id();
        let mut watch = ring.watch(id);
        assert_goes_on(&mut watch, "live");
        store.answer(get);
        clock.advance(Duration::from_millis(500));
        if matches!(get, Get::Hang) {
            assert_goes_on(&mut watch, "waiting for the store");
            clock.advance(1_999 * MILLISECOND);
            assert_goes_on(&mut watch, "waiting for the store");
            clock.advance(MILLISECOND);
        }
        let Poll::Ready(Err(error)) = poll_once(&mut watch) else {
            panic!("{get:?}: the connection goes on with a key in doubt");
        };
        assert_eq!(error.kind(), ErrorKind::Store, "{get:?}");
        assert_eq!(error.to_string(), "the key store failed", "{get:?}");
    }
}

#[tokio::test]
async fn r24_a_clock_that_is_set_back_revives_no_watched_key() {
    let (ring, clock, _) = fixture();
    let brief = || Grant::new("alice").expires_in(MINUTE);
    let denied = ring.issue(brief()).await.unwrap();
    let mut watch = ring.watch(denied.record().id());
    assert_goes_on(&mut watch, "live");
    clock.advance(MINUTE);
    let key = denied.secret().expose().as_bytes();
    ring.verify(key).await.unwrap_err();
    clock.set(START);
    assert_over(&mut watch, KeyState::Expired);
    assert_over(&mut ring.watch(denied.record().id()), KeyState::Expired);

    // From then on, the key that a watch saw ended is refused.
    let (ring, clock, _) = fixture();
    let watched = ring.issue(brief()).await.unwrap();
    let mut watch = ring.watch(watched.record().id());
    assert_goes_on(&mut watch, "live");
    clock.advance(MINUTE);
    assert_over(&mut watch, KeyState::Expired);
    clock.set(START);
    let error = ring.verify(watched.secret().expose().as_bytes()).await;
    assert_eq!(
        error.unwrap_err().kind(),
        VerifyErrorKind::Invalid(InvalidCause::Expired)
    );
    assert_over(&mut ring.watch(watched.record().id()), KeyState::Expired);
}

#[tokio::test]
async fn a_proof_knows_when_its_key_ends() {
    let (clock, store) = (ManualClock::new(START), MemoryStore::new());
    let ring = ring_over(store, &clock, KeyRingBuilder::unlimited_lifetime);
    let valid_until = async |key: &tower_api_key::Issued| {
        let key = ring.verify(key.secret().expose().as_bytes()).await;
        key.unwrap().valid_until()
    };
    let endless = ring.issue(Grant::new("alice").never_expires()).await;
    let endless = endless.unwrap();
    assert_eq!(valid_until(&endless).await, None);
    let brief = ring.issue(Grant::new("alice").expires_in(MINUTE)).await;
    let brief = brief.unwrap();
    assert_eq!(valid_until(&brief).await, START.checked_add(MINUTE));
    for (issued, expected) in [(&endless, 2 * MINUTE), (&brief, MINUTE)] {
        ring.rotate(issued.record().id(), 2 * MINUTE).await.unwrap();
        assert_eq!(valid_until(issued).await, START.checked_add(expected));
    }
}

/// A store that commits and then reports a failure, as one that lost its connection does.
#[derive(Clone)]
struct Doubtful {
    store: MemoryStore,
    in_doubt: Arc<AtomicBool>,
}

impl KeyStore for Doubtful {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.store.commit(change).await?;
            if self.in_doubt.load(Ordering::Relaxed) {
                return Err(StoreErrorKind::Unavailable.into());
            }
            Ok(())
        })
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(async move {
            let revoked = self.store.revoke(realm, target, revocation, by).await?;
            if self.in_doubt.load(Ordering::Relaxed) {
                return Err(StoreErrorKind::Unavailable.into());
            }
            Ok(revoked)
        })
    }

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    crate::support::forward!(store: get, list, purge, record_uses, last_uses, claim_expiry_notices);
}

#[tokio::test]
async fn r32_a_revocation_whose_answer_was_lost_ends_the_watch_at_once() {
    let (clock, in_doubt) = (ManualClock::new(START), Arc::new(AtomicBool::new(false)));
    let store = Doubtful {
        store: MemoryStore::new(),
        in_doubt: Arc::clone(&in_doubt),
    };
    let ring = ring_over(store.clone(), &clock, |builder| builder);
    let id = issue(&ring, "read").await.record().id();
    let mut watch = ring.watch(id);
    assert_goes_on(&mut watch, "nothing happened");
    in_doubt.store(true, Ordering::Relaxed);
    let error = ring.revoke(id, REASON).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_over(&mut watch, KeyState::Revoked);

    // For a lineage or a subject, the affected keys are unknown.
    for by_subject in [false, true] {
        in_doubt.store(false, Ordering::Relaxed);
        let [id, other] = [
            issue(&ring, "read").await.record().id(),
            ring.issue(Grant::new("bob")).await.unwrap().record().id(),
        ];
        let mut watches = [ring.watch(id), ring.watch(other)];
        for watch in &mut watches {
            assert_goes_on(watch, "nothing happened");
        }
        in_doubt.store(true, Ordering::Relaxed);
        let outcome = if by_subject {
            ring.revoke_subject("alice", REASON).await
        } else {
            ring.revoke_lineage(id, REASON).await
        };
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Store);
        let [watch, other] = &mut watches;
        assert_over(watch, KeyState::Revoked);
        assert_goes_on(other, "its key was not meant");
    }

    // For a promotion, those of both rings.
    in_doubt.store(false, Ordering::Relaxed);
    let new = ring_over(store, &clock, |builder| builder);
    let id = issue(&ring, "read").await.record().id();
    let mut watches = [ring.watch(id), new.watch(id)];
    for watch in &mut watches {
        assert_goes_on(watch, "nothing happened");
    }
    in_doubt.store(true, Ordering::Relaxed);
    let promoted = new.promote(&ring, id, Grant::new("alice")).await;
    assert_eq!(promoted.unwrap_err().kind(), ErrorKind::Store);
    for watch in &mut watches {
        assert_over(watch, KeyState::Revoked);
    }
}

/// A bound without an effect, on the clock of the operating system.
#[tokio::test]
async fn r24_the_longest_interval_is_one() {
    let (store, later) = (MemoryStore::new(), MemoryStore::new());
    let builder = || {
        KeyRing::builder("acme")
            .lookup_timeout(Duration::MAX)
            .watch_interval(Duration::MAX)
            .upkeep_interval(Duration::MAX)
            .unlimited_lifetime()
    };
    let ring = builder().build(store).unwrap();
    let endless = ring.issue(Grant::new("alice").never_expires()).await;
    let id = endless.unwrap().record().id();
    let mut watch = ring.watch(id);
    assert_goes_on(&mut watch, "nothing happened");
    assert!(poll_once(&mut Box::pin(ring.upkeep())).is_pending());
    ring.revoke(id, REASON).await.unwrap();
    assert_over(&mut watch, KeyState::Revoked);

    let ring = builder().build(Later { store: later }).unwrap();
    let key = issue(&ring, "read").await;
    let key = key.secret().expose().as_bytes();
    assert_eq!(ring.verify(key).await.unwrap().subject(), "alice");
}
