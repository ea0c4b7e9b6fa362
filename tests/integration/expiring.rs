//! Keys that expire soon: told at each step of a ladder, once.

mod node;
mod restarts;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_api_key::store::{KeyStore, MemoryStore, StoreErrorKind};
use tower_api_key::{
    Error, ErrorKind, EventKind, Grant, Issued, KeyId, KeyRing, KeyRingBuilder, ManualClock,
    Observer, RevocationReason, Timestamp, observer_fn,
};

use self::node::Gated;
use crate::support::{START, poll_once};

pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// A notice that an observer has received.
pub(crate) type Told = (KeyId, String, Timestamp, Duration);

/// What was told, with the number of failures.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<(Vec<Told>, usize)>>);

impl Heard {
    pub(crate) fn observer(&self) -> impl Observer {
        let heard = self.clone();
        observer_fn(move |event| {
            let mut heard = heard.0.lock().unwrap();
            match event.kind() {
                EventKind::ExpiresSoon { expires_at, step } => {
                    assert_eq!(event.realm().unwrap().as_str(), "orders");
                    let subject = event.subject().unwrap().to_owned();
                    heard
                        .0
                        .push((event.key_id().unwrap(), subject, expires_at, step));
                }
                EventKind::UpkeepFailed => heard.1 += 1,
                _ => {}
            }
        })
    }

    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }

    fn failures(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

/// A ring that is heard, over a store that the test can stop.
struct Scene {
    ring: KeyRing,
    clock: ManualClock,
    heard: Heard,
    store: Gated<MemoryStore>,
}

impl Scene {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder) -> Self {
        let (clock, heard) = (ManualClock::new(START), Heard::default());
        let store = Gated::new(MemoryStore::new());
        let builder = KeyRing::builder("acme")
            .realm("orders")
            .clock(clock.clone())
            .observer(heard.observer());
        let ring = options(builder).build(store.clone()).unwrap();
        Self {
            ring,
            clock,
            heard,
            store,
        }
    }

    async fn issue(&self, lifetime: Duration) -> Issued {
        let grant = Grant::new("alice").expires_in(lifetime);
        self.ring.issue(grant).await.unwrap()
    }

    /// Moves the clock to this long before a time.
    fn set(&self, before: Duration, expires_at: Timestamp) {
        let now = expires_at.as_unix() - before.as_secs();
        self.clock.set(Timestamp::from_unix(now));
    }

    /// What a process tells that is started now.
    fn started(&self) -> Vec<Told> {
        let mut upkeep = Box::pin(self.ring.upkeep());
        assert!(poll_once(&mut upkeep).is_pending());
        self.heard.take()
    }
}

fn notice(issued: &Issued, days: u32) -> Told {
    let record = issued.record();
    let expires_at = record.expires_at().unwrap();
    (
        record.id(),
        record.subject().to_string(),
        expires_at,
        days * DAY,
    )
}

#[tokio::test]
async fn a_key_is_told_at_each_step_by_a_service_that_runs() {
    let scene = Scene::new();
    let issued = scene.issue(90 * DAY).await;
    let mut upkeep = Box::pin(scene.ring.upkeep());
    let mut told = Vec::new();
    for hour in 0..=90 * 24 {
        assert!(poll_once(&mut upkeep).is_pending());
        told.extend(scene.heard.take().into_iter().map(|told| (hour, told)));
        scene.clock.advance(60 * MINUTE);
    }
    let hours = [30, 7, 1].map(|days| ((90 - days) * 24, notice(&issued, days)));
    assert_eq!(told, hours);
    assert_eq!(scene.heard.failures(), 0);
}

#[tokio::test]
async fn a_service_that_was_down_tells_the_nearest_step_alone() {
    let scene = Scene::new();
    let issued = scene.issue(90 * DAY).await;
    let expires_at = issued.record().expires_at().unwrap();
    scene.set(2 * DAY, expires_at);
    assert_eq!(scene.started(), [notice(&issued, 7)]);
    assert_eq!(scene.started(), []);
    // A clock that is set back tells no wider step later.
    scene.set(25 * DAY, expires_at);
    assert_eq!(scene.started(), []);
    scene.set(DAY, expires_at);
    assert_eq!(scene.started(), [notice(&issued, 1)]);
}

#[tokio::test]
async fn a_key_that_was_issued_for_less_than_a_step_is_not_told_of_it() {
    let scene = Scene::new();
    let half_a_day = scene.issue(DAY / 2).await;
    let month = scene.issue(30 * DAY).await;
    let over_a_month = scene.issue(31 * DAY).await;
    assert_eq!(scene.started(), [], "at the issue");
    scene.set(30 * DAY, over_a_month.record().expires_at().unwrap());
    assert_eq!(scene.started(), [notice(&over_a_month, 30)]);
    scene.set(7 * DAY, month.record().expires_at().unwrap());
    assert_eq!(scene.started(), [notice(&month, 7)]);
    scene.set(
        Duration::from_secs(1),
        half_a_day.record().expires_at().unwrap(),
    );
    assert_eq!(scene.started(), []);
}

#[tokio::test]
async fn a_key_that_is_revoked_or_was_replaced_is_not_told() {
    let scene = Scene::with(KeyRingBuilder::unlimited_lifetime);
    let (revoked, rotated, regranted) = (
        scene.issue(90 * DAY).await,
        scene.issue(90 * DAY).await,
        scene.issue(90 * DAY).await,
    );
    let endless = scene
        .ring
        .issue(Grant::new("alice").never_expires())
        .await
        .unwrap();
    let expires_at = revoked.record().expires_at().unwrap();
    scene.set(DAY, expires_at);
    let reason = RevocationReason::KeyCompromise;
    scene.ring.revoke(revoked.id(), reason).await.unwrap();
    let grace = Duration::from_hours(1);
    let fresh = scene.ring.rotate(rotated.id(), grace).await.unwrap();
    scene
        .ring
        .regrant(regranted.id(), Grant::new("alice"))
        .await
        .unwrap();
    assert_eq!(scene.started(), []);
    // The new key is one of its own.
    scene.set(30 * DAY, fresh.record().expires_at().unwrap());
    let told = scene.started();
    assert!(told.contains(&notice(&fresh, 30)), "{told:?}");
    assert_eq!(told.len(), 2, "and the regranted one");
    assert!(
        told.iter()
            .all(|it| it.0 != endless.id() && it.0 != rotated.id())
    );
}

#[tokio::test]
async fn steps_can_be_chosen_and_turned_off() {
    let scene = Scene::with(|builder| builder.expiry_notices([3 * DAY, 60 * DAY]));
    let issued = scene.issue(90 * DAY).await;
    let expires_at = issued.record().expires_at().unwrap();
    scene.set(60 * DAY, expires_at);
    assert_eq!(scene.started(), [notice(&issued, 60)]);
    scene.set(3 * DAY, expires_at);
    assert_eq!(scene.started(), [notice(&issued, 3)]);

    let off = Scene::with(|builder| builder.expiry_notices([]));
    let issued = off.issue(90 * DAY).await;
    off.set(DAY, issued.record().expires_at().unwrap());
    assert_eq!(off.started(), []);
    assert_eq!(off.store.claims(), 0);
}

#[test]
fn steps_that_make_no_ladder_are_refused() {
    for (steps, problem) in [
        (vec![Duration::ZERO], "a step of expiry_notices is zero"),
        (vec![DAY, DAY], "expiry_notices has a step twice"),
        (
            vec![Duration::from_millis(90)],
            "a step of expiry_notices is no whole number of seconds",
        ),
        (
            vec![1_000_000 * DAY],
            "a step of expiry_notices is over 100 years: milliseconds taken for seconds?",
        ),
        (
            (1..12).map(|days| days * DAY).collect(),
            "expiry_notices has more than ten steps",
        ),
    ] {
        let builder = KeyRing::builder("acme").expiry_notices(steps);
        let error: Error = builder.build(MemoryStore::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPolicy);
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn a_ring_without_an_observer_leaves_the_notices_to_others() {
    let scene = Scene::new();
    let issued = scene.issue(90 * DAY).await;
    scene.set(DAY, issued.record().expires_at().unwrap());
    let deaf = KeyRing::builder("acme")
        .realm("orders")
        .clock(scene.clock.clone())
        .build(scene.store.clone())
        .unwrap();
    assert!(poll_once(&mut Box::pin(deaf.upkeep())).is_pending());
    assert_eq!(scene.store.claims(), 0);
    assert_eq!(scene.started(), [notice(&issued, 1)]);
}

#[tokio::test]
async fn a_store_that_fails_is_told_and_asked_again_at_the_next_turn() {
    let scene = Scene::new();
    let issued = scene.issue(90 * DAY).await;
    scene.set(DAY, issued.record().expires_at().unwrap());
    let mut upkeep = Box::pin(scene.ring.upkeep());
    let mut turn = || {
        assert!(poll_once(&mut upkeep).is_pending());
        let heard = (scene.heard.take(), scene.heard.failures());
        scene.clock.advance(MINUTE);
        heard
    };
    scene.store.fail(Some(StoreErrorKind::Unavailable));
    assert_eq!(turn(), (vec![], 1));
    assert_eq!(turn(), (vec![], 1));
    scene.store.panic();
    assert_eq!(turn(), (vec![], 1));
    // These last, and are told once.
    for kind in [
        StoreErrorKind::Unsupported,
        StoreErrorKind::ReadOnly,
        StoreErrorKind::Schema,
    ] {
        scene.store.fail(Some(kind));
        assert_eq!(turn(), (vec![], 1), "{kind:?}");
        assert_eq!(turn(), (vec![], 0), "{kind:?}");
    }
    scene.store.fail(None);
    assert_eq!(turn(), (vec![notice(&issued, 1)], 0));
    assert_eq!(turn(), (vec![], 0));
}

#[tokio::test]
async fn r24_a_clock_that_fails_tells_nothing() {
    let scene = Scene::new();
    let issued = scene.issue(90 * DAY).await;
    scene.clock.set(Timestamp::MAX);
    assert_eq!(scene.started(), []);
    assert_eq!(scene.store.claims(), 0);
    scene.set(DAY, issued.record().expires_at().unwrap());
    assert_eq!(scene.started(), [notice(&issued, 1)]);
}

/// More keys than a page, so that a store with many writes them in steps.
#[tokio::test]
async fn many_keys_are_told_in_pages() {
    let scene = Scene::new();
    let mut due = Vec::new();
    for _ in 0..250 {
        due.push(notice(&scene.issue(90 * DAY).await, 7));
    }
    scene.set(6 * DAY, due[0].2);
    let mut upkeep = Box::pin(scene.ring.upkeep());
    let mut pages = Vec::new();
    for _ in 0..4 {
        assert!(poll_once(&mut upkeep).is_pending());
        pages.push(scene.heard.take());
        scene.clock.advance(Duration::from_millis(50));
    }
    assert_eq!(
        pages.iter().map(Vec::len).collect::<Vec<_>>(),
        [100, 100, 50, 0]
    );
    let mut told = pages.concat();
    told.sort();
    due.sort();
    assert_eq!(told, due);
}

#[tokio::test]
async fn a_store_in_memory_claims_for_its_own_realm() {
    let scene = Scene::new();
    let issued = scene.issue(90 * DAY).await;
    let other = KeyRing::builder("acme")
        .realm("billing")
        .clock(scene.clock.clone())
        .build(scene.store.clone())
        .unwrap();
    other
        .issue(Grant::new("bob").expires_in(90 * DAY))
        .await
        .unwrap();
    scene.set(DAY, issued.record().expires_at().unwrap());
    assert_eq!(scene.started(), [notice(&issued, 1)]);
    let now = scene.clock.clone();
    let ladder = tower_api_key::store::ExpiryLadder::default();
    let at = tower_api_key::Clock::now(&now);
    let claims = scene
        .store
        .claim_expiry_notices(other.realm(), &ladder, at, 10);
    assert_eq!(claims.await.unwrap().notices.len(), 1);
}
