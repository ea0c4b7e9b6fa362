//! A replaced secret is presented again (RFC 9700 §4.14.2).

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tower::Layer;
use tower_api_key::store::{
    BoxFuture, Change, KeyStore, Lookup, MemoryStore, Revoked, StoreError, StoreErrorKind, Target,
};
use tower_api_key::{
    Actor, ApiKeyLayer, EventKind, Grant, InvalidCause, Issued, KeyDigest, KeyRing, ManualClock,
    Realm, Revocation, RevocationReason, Timestamp, VerifyErrorKind,
};

use crate::events::{Later, Recorder, about};
use crate::support::{Inner, START, Whole, issue, poll_once, ring, send, with_key};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

struct Fixture {
    ring: KeyRing,
    clock: ManualClock,
    recorder: Recorder,
}

fn fixture(store: impl KeyStore, revokes: bool) -> Fixture {
    let (clock, recorder) = (ManualClock::new(START), Recorder::default());
    let builder = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .observer(recorder.clone());
    let builder = if revokes {
        builder.revoke_lineage_on_reuse()
    } else {
        builder
    };
    Fixture {
        ring: builder.build(store).unwrap(),
        clock,
        recorder,
    }
}

async fn verdict(ring: &KeyRing, issued: &Issued) -> Result<(), InvalidCause> {
    match ring.verify(issued.secret().expose().as_bytes()).await {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            VerifyErrorKind::Invalid(cause) => Err(cause),
            other => panic!("{other:?}"),
        },
    }
}

/// Every part of the response that the client sees.
fn told(response: &Whole) -> (u16, String, Vec<u8>) {
    (
        response.status.as_u16(),
        format!("{:?}", response.headers),
        response.body.to_vec(),
    )
}

/// The response to a key that was never issued.
async fn uniform(ring: &KeyRing) -> (u16, String, Vec<u8>) {
    let unknown = issue(&self::ring(), "read").await;
    let service = ApiKeyLayer::new(ring.clone()).layer(Inner::new());
    let response = send(&service, with_key(unknown.secret().expose())).await;
    assert_eq!(
        response.rejection.as_ref().unwrap().cause(),
        Some(InvalidCause::Unknown)
    );
    told(&response)
}

/// Keys that were replaced, each in another way, and the newest key of each lineage.
async fn replaced(fixture: &Fixture) -> Vec<(&'static str, Issued, Issued)> {
    let ring = &fixture.ring;
    let mut keys = Vec::new();
    let old = issue(ring, "read").await;
    let new = ring.rotate(old.record().id(), MINUTE).await.unwrap();
    keys.push(("replaced", old, new));
    let old = issue(ring, "read").await;
    let new = ring.rotate_now(old.record().id()).await.unwrap();
    keys.push(("rotated at once", old, new));
    let old = issue(ring, "read").await;
    let grant = Grant::new("alice").scopes(["write"]);
    let new = ring.regrant(old.record().id(), grant).await.unwrap();
    keys.push(("regranted", old, new));
    let old = issue(ring, "read").await;
    let elsewhere = KeyRing::builder("acme")
        .realm("billing")
        .clock(fixture.clock.clone())
        .build(MemoryStore::new())
        .unwrap();
    let grant = Grant::new("alice");
    let new = elsewhere.promote(ring, old.record().id(), grant).await;
    keys.push(("promoted", old, new.unwrap()));
    fixture.clock.advance(MINUTE);
    fixture.recorder.take();
    keys
}

#[tokio::test]
async fn r25_a_replaced_secret_is_reported_as_reuse_and_answered_like_an_unknown_one() {
    for revokes in [false, true] {
        for later in [false, true] {
            let store = MemoryStore::new();
            let fixture = if later {
                fixture(Later { store }, revokes)
            } else {
                fixture(store, revokes)
            };
            let inner = Inner::new();
            let service = ApiKeyLayer::new(fixture.ring.clone()).layer(inner.clone());
            let uniform = uniform(&fixture.ring).await;
            for (name, old, _) in replaced(&fixture).await {
                for _ in 0..2 {
                    fixture.recorder.take();
                    let response = send(&service, with_key(old.secret().expose())).await;
                    let rejection = response.rejection.as_ref().unwrap();
                    assert_eq!(rejection.cause(), Some(InvalidCause::Replaced), "{name}");
                    assert_eq!(rejection.key_id(), Some(old.record().id()), "{name}");
                    assert_eq!(told(&response), uniform, "{name}");
                    let events = fixture.recorder.take();
                    assert_eq!(events[0], about(EventKind::Reuse, old.record()), "{name}");
                    let alarms = events.iter().filter(|told| told.kind == EventKind::Reuse);
                    assert_eq!(alarms.count(), 1, "{name}");
                }
            }
            assert_eq!(inner.calls(), 0);
        }
    }
}

#[tokio::test]
async fn a_key_in_its_grace_is_no_reuse() {
    let fixture = fixture(MemoryStore::new(), true);
    let old = issue(&fixture.ring, "read").await;
    let new = fixture.ring.rotate(old.record().id(), MINUTE);
    let new = new.await.unwrap();
    fixture.recorder.take();
    fixture.clock.advance(Duration::from_secs(59));
    assert_eq!(verdict(&fixture.ring, &old).await, Ok(()));
    assert_eq!(verdict(&fixture.ring, &new).await, Ok(()));
    assert_eq!(fixture.recorder.take(), []);

    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(
        verdict(&fixture.ring, &old).await,
        Err(InvalidCause::Replaced)
    );
    assert_eq!(
        verdict(&fixture.ring, &new).await,
        Err(InvalidCause::Revoked)
    );
}

#[tokio::test]
async fn a_key_that_ended_otherwise_is_no_reuse() {
    let fixture = fixture(MemoryStore::new(), true);
    let ring = &fixture.ring;
    for reason in [
        RevocationReason::Unspecified,
        RevocationReason::KeyCompromise,
        RevocationReason::AffiliationChanged,
        RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn,
    ] {
        let issued = issue(ring, "read").await;
        ring.revoke(issued.record().id(), reason).await.unwrap();
        fixture.recorder.take();
        let cause = verdict(ring, &issued).await;
        assert_eq!(cause, Err(InvalidCause::Revoked), "{reason}");
        assert_eq!(fixture.recorder.take(), [], "{reason}");
    }
    let brief = ring.issue(Grant::new("alice").expires_in(MINUTE)).await;
    fixture.clock.advance(MINUTE);
    fixture.recorder.take();
    let cause = verdict(ring, &brief.unwrap()).await;
    assert_eq!(cause, Err(InvalidCause::Expired));
    assert_eq!(fixture.recorder.take(), []);
}

#[tokio::test]
async fn reuse_alone_ends_nothing() {
    let fixture = fixture(MemoryStore::new(), false);
    for (name, old, new) in replaced(&fixture).await {
        let cause = verdict(&fixture.ring, &old).await;
        assert_eq!(cause, Err(InvalidCause::Replaced), "{name}");
        if new.record().realm() == fixture.ring.realm() {
            assert_eq!(verdict(&fixture.ring, &new).await, Ok(()), "{name}");
        }
    }
}

#[tokio::test]
async fn where_the_ring_says_so_reuse_ends_the_lineage_and_no_other() {
    for later in [false, true] {
        let store = MemoryStore::new();
        let fixture = if later {
            fixture(Later { store }, true)
        } else {
            fixture(store, true)
        };
        let bystander = issue(&fixture.ring, "read").await;
        for (name, old, new) in replaced(&fixture).await {
            if new.record().realm() != fixture.ring.realm() {
                continue;
            }
            assert_eq!(verdict(&fixture.ring, &new).await, Ok(()), "{name}");
            fixture.recorder.take();
            let cause = verdict(&fixture.ring, &old).await;
            assert_eq!(cause, Err(InvalidCause::Replaced), "{name}");
            let reason = RevocationReason::KeyCompromise;
            let revoked = about(EventKind::Revoked { reason }, new.record());
            assert!(fixture.recorder.take().contains(&revoked), "{name}");
            let cause = verdict(&fixture.ring, &new).await;
            assert_eq!(cause, Err(InvalidCause::Revoked), "{name}");
        }
        assert_eq!(verdict(&fixture.ring, &bystander).await, Ok(()));
    }
}

#[tokio::test]
async fn r31_reuse_ends_the_lineage_in_its_own_realm_alone() {
    let store = MemoryStore::new();
    let visitors = fixture(store.clone(), true);
    let customers = KeyRing::builder("acme")
        .realm("customers")
        .clock(visitors.clock.clone())
        .revoke_lineage_on_reuse()
        .build(store)
        .unwrap();
    let temporary = issue(&visitors.ring, "cart").await;
    let id = temporary.record().id();
    let real = customers
        .promote(&visitors.ring, id, Grant::new("alice"))
        .await
        .unwrap();
    assert_eq!(real.record().lineage(), id);

    // The attacker who planted the temporary key cannot end the customer's keys.
    let cause = verdict(&visitors.ring, &temporary).await;
    assert_eq!(cause, Err(InvalidCause::Replaced));
    assert_eq!(verdict(&customers, &real).await, Ok(()));
    let cause = verdict(&customers, &temporary).await;
    assert_eq!(cause, Err(InvalidCause::Unknown));
    assert_eq!(verdict(&customers, &real).await, Ok(()));
}

/// The outcome of a commit.
#[derive(Debug, Clone, Copy)]
enum End {
    Honest,
    Fail,
    Conflict,
    Panic,
    Hang,
}

#[derive(Clone)]
struct Troubled {
    store: MemoryStore,
    end: Arc<Mutex<End>>,
}

impl KeyStore for Troubled {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        let end = *self.end.lock().unwrap();
        Box::pin(async move {
            match end {
                End::Honest => self.store.commit(change).await,
                End::Fail => Err(StoreErrorKind::Unavailable.into()),
                End::Conflict => Err(StoreErrorKind::Conflict.into()),
                End::Panic => panic!("the store panicked, as the test told it to"),
                End::Hang => std::future::pending().await,
            }
        })
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        let end = *self.end.lock().unwrap();
        Box::pin(async move {
            match end {
                End::Honest => self.store.revoke(realm, target, revocation, by).await,
                End::Fail => Err(StoreErrorKind::Unavailable.into()),
                End::Conflict => Err(StoreErrorKind::Conflict.into()),
                End::Panic => panic!("the store panicked, as the test told it to"),
                End::Hang => std::future::pending().await,
            }
        })
    }

    crate::support::forward!(store: get, list, purge, record_uses, last_uses);
}

#[tokio::test]
async fn r20_a_lineage_that_cannot_be_ended_leaves_the_reused_key_refused_in_time() {
    for end in [End::Fail, End::Conflict, End::Panic, End::Hang] {
        for later in [false, true] {
            let store = Troubled {
                store: MemoryStore::new(),
                end: Arc::new(Mutex::new(End::Honest)),
            };
            let fixture = if later {
                let store = store.clone();
                fixture(Later { store }, true)
            } else {
                fixture(store.clone(), true)
            };
            let ring = &fixture.ring;
            let uniform = uniform(ring).await;
            let old = issue(ring, "read").await;
            let new = ring.rotate_now(old.record().id()).await.unwrap();
            let inner = Inner::new();
            let service = ApiKeyLayer::new(ring.clone()).layer(inner.clone());

            *store.end.lock().unwrap() = end;
            let mut response = Box::pin(send(&service, with_key(old.secret().expose())));
            let mut answer = poll_once(&mut response);
            for _ in 0..100 {
                if answer.is_ready() {
                    break;
                }
                answer = poll_once(&mut response);
            }
            if matches!(end, End::Hang) {
                assert!(answer.is_pending());
                fixture.clock.advance(Duration::from_millis(1999));
                assert!(poll_once(&mut response).is_pending());
                fixture.clock.advance(Duration::from_millis(1));
                answer = poll_once(&mut response);
            }
            let Poll::Ready(response) = answer else {
                panic!("{end:?}, later: {later}: the wait is not bounded");
            };
            assert_eq!(told(&response), uniform, "{end:?}, {later}");
            let cause = response.rejection.unwrap().cause();
            assert_eq!(cause, Some(InvalidCause::Replaced), "{end:?}, {later}");
            assert_eq!(inner.calls(), 0);
            assert_eq!(verdict(ring, &new).await, Ok(()), "{end:?}, {later}");

            // The next reuse tries again.
            *store.end.lock().unwrap() = End::Honest;
            assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Replaced));
            assert_eq!(verdict(ring, &new).await, Err(InvalidCause::Revoked));
        }
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_in_its_grace_is_reused_only_past_it() {
    let fixture = fixture(MemoryStore::new(), true);
    let ring = &fixture.ring;
    let old = issue(ring, "list read").await;
    let new = ring.rotate(old.record().id(), MINUTE).await.unwrap();
    let kept = "read".parse().unwrap();
    ring.narrow(new.record().id(), &kept).await.unwrap();

    // Its holder was promised a minute. An attempt within it ends no other key.
    assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Revoked));
    assert_eq!(verdict(ring, &new).await, Ok(()));
    fixture.clock.advance(MINUTE);
    assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Replaced));
    assert_eq!(verdict(ring, &new).await, Err(InvalidCause::Revoked));
}

/// If a grace period is cut short in any way, its holder was still promised it.
#[tokio::test]
async fn a_key_whose_grace_was_cut_short_is_no_reuse_until_it_would_have_ended() {
    for way in 0..3 {
        let fixture = fixture(MemoryStore::new(), true);
        let ring = &fixture.ring;
        let old = issue(ring, "read").await;
        let id = old.record().id();
        let new = ring.rotate(id, MINUTE).await.unwrap();
        let newest = match way {
            0 => {
                ring.revoke(id, RevocationReason::Superseded).await.unwrap();
                new
            }
            1 => ring.rotate_now(new.record().id()).await.unwrap(),
            _ => {
                let grant = Grant::new("alice");
                ring.regrant(new.record().id(), grant).await.unwrap()
            }
        };
        fixture.recorder.take();
        assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Revoked));
        assert_eq!(verdict(ring, &newest).await, Ok(()), "{way}");
        assert_eq!(fixture.recorder.take(), []);
        fixture.clock.advance(MINUTE);
        assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Replaced));
        let revoked = Err(InvalidCause::Revoked);
        assert_eq!(verdict(ring, &newest).await, revoked, "{way}");
    }
}

/// The refusal results from a clock that was ahead. Ending the later keys is permanent, and needs a
/// theft.
#[tokio::test]
async fn r24_what_is_denied_for_a_clock_that_was_ahead_ends_no_lineage() {
    for ahead in [2 * HOUR, Duration::MAX] {
        let fixture = fixture(MemoryStore::new(), true);
        let (ring, clock) = (&fixture.ring, &fixture.clock);
        let other = ring.issue(Grant::new("bob").expires_in(2 * HOUR)).await;
        let other = other.unwrap();
        let old = issue(ring, "read").await;
        let new = ring.rotate(old.record().id(), HOUR).await.unwrap();
        clock.set(START.checked_add(ahead).unwrap_or(Timestamp::MAX));
        assert_eq!(verdict(ring, &other).await, Err(InvalidCause::Expired));
        if ahead == Duration::MAX {
            // A clock that fails is not evidence.
            assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Replaced));
        }
        clock.set(START);
        assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Replaced));
        assert_eq!(verdict(ring, &new).await, Ok(()), "{ahead:?}");

        clock.advance(HOUR);
        assert_eq!(verdict(ring, &old).await, Err(InvalidCause::Replaced));
        assert_eq!(verdict(ring, &new).await, Err(InvalidCause::Revoked));
    }
}
