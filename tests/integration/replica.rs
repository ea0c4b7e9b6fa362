//! A replica: a ring that verifies from memory, and fails closed (rules 21 and 22, invariant 9).

mod audit;
mod contract;
mod dead;
mod faults;
#[cfg(feature = "metrics")]
mod gauges;
mod options;
mod watches;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::feed::{Failing, MemoryFeed};
use tokio::task::{JoinHandle, yield_now};
use tower_api_key::replica::{Replica, ReplicaOptions};
use tower_api_key::{
    EventKind, Grant, InvalidCause, Issued, KeyRing, ManualClock, RevocationReason,
    VerifyErrorKind, observer_fn,
};

use crate::support::START;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What an observer hears: the kind, the key, and the failure with its causes.
type Heard = Arc<Mutex<Vec<String>>>;

/// A node with a replica of a database, and a ring of another node that uses the database directly.
struct Node {
    feed: MemoryFeed,
    clock: ManualClock,
    replica: Replica,
    ring: KeyRing,
    other: KeyRing,
    heard: Heard,
    follow: JoinHandle<()>,
}

impl Node {
    /// A staleness of a second, a pull each 50 ms.
    async fn new() -> Self {
        let node = Self::over(MemoryFeed::new(), |options| options);
        node.run().await;
        assert!(node.replica.is_fresh());
        node
    }

    fn over(feed: MemoryFeed, set: impl FnOnce(ReplicaOptions) -> ReplicaOptions) -> Self {
        let clock = ManualClock::new(START);
        let heard = Heard::default();
        let told = Arc::clone(&heard);
        let options = Replica::options()
            .staleness(SECOND)
            .clock(clock.clone())
            .observer(observer_fn(move |event| {
                let mut text = event.kind().as_str().to_owned();
                text.extend(event.key_id().map(|id| format!(" {id}")));
                let mut cause = event
                    .failure()
                    .map(|failure| failure as &dyn std::error::Error);
                while let Some(failure) = cause {
                    text = format!("{text}: {failure}");
                    cause = failure.source();
                }
                told.lock().unwrap().push(text);
            }));
        let (replica, follow) = set(options).follow(feed.clone()).unwrap();
        let ring = |store| {
            KeyRing::builder("acme")
                .realm("orders")
                .clock(clock.clone())
                .build(store)
                .unwrap()
        };
        let store: Arc<dyn tower_api_key::store::KeyStore> = Arc::new(replica.clone());
        let direct: Arc<dyn tower_api_key::store::KeyStore> = Arc::new(feed.clone());
        Self {
            ring: ring(store),
            other: ring(direct),
            follow: tokio::spawn(async move {
                follow.await;
            }),
            feed,
            clock,
            replica,
            heard,
        }
    }

    /// Lets the tasks run until they wait.
    async fn run(&self) {
        for _ in 0..50 {
            yield_now().await;
        }
    }

    /// Time passes in steps, in which pulls are made.
    async fn pass(&self, time: Duration) {
        let step = if time <= SECOND { 5 * MS } else { 20 * MS };
        for _ in 0..time.as_millis() / step.as_millis() {
            self.clock.advance(step);
            self.run().await;
        }
    }

    async fn issue(&self, scopes: &str) -> Issued {
        let grant = Grant::new("alice").scopes(scopes);
        self.other.issue(grant).await.unwrap()
    }

    async fn revoke(&self, issued: &Issued) {
        let reason = RevocationReason::KeyCompromise;
        self.other.revoke(issued.id(), reason).await.unwrap();
    }

    /// What a request with this key gets.
    async fn verify(&self, issued: &Issued) -> Result<(), VerifyErrorKind> {
        // A look-up in the database waits no longer than this, by the clock of the ring.
        let (ring, key) = (self.ring.clone(), issued.secret().expose().to_owned());
        let verdict = tokio::spawn(async move { ring.verify(key.as_bytes()).await });
        self.run().await;
        if !verdict.is_finished() {
            self.clock.advance(2 * SECOND);
        }
        verdict
            .await
            .unwrap()
            .map(drop)
            .map_err(|error| error.kind())
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    fn finds(&self) -> usize {
        use std::sync::atomic::Ordering;

        self.feed.calls().find.swap(0, Ordering::Relaxed)
    }
}

const REVOKED: VerifyErrorKind = VerifyErrorKind::Invalid(InvalidCause::Revoked);
const UNKNOWN: VerifyErrorKind = VerifyErrorKind::Invalid(InvalidCause::Unknown);
const UNAVAILABLE: VerifyErrorKind = VerifyErrorKind::StoreUnavailable;

#[tokio::test]
async fn s12_unknown_keys_ask_nobody() {
    let node = Node::new().await;
    let unknown = crate::support::issue(&crate::support::ring(), "read").await;
    for _ in 0..100 {
        assert_eq!(node.verify(&unknown).await, Err(UNKNOWN));
    }
    assert_eq!(node.finds(), 0);
}

#[tokio::test]
async fn i09_a_revocation_by_another_ring_is_refused_after_a_pull() {
    let node = Node::new().await;
    let issued = node.issue("read").await;
    // Not pulled yet, and no unknown key asks the database.
    assert_eq!(node.verify(&issued).await, Err(UNKNOWN));
    node.pass(60 * MS).await;
    assert_eq!(node.verify(&issued).await, Ok(()));

    node.revoke(&issued).await;
    assert_eq!(node.verify(&issued).await, Ok(()));
    node.pass(60 * MS).await;
    assert_eq!(node.verify(&issued).await, Err(REVOKED));
    assert_eq!(node.finds(), 0);
    assert_eq!(node.heard(), ["replica_fresh"]);
}

#[tokio::test]
async fn i09_a_node_that_is_cut_off_refuses_within_the_staleness() {
    for failing in [Failing::Down, Failing::Hanging] {
        let node = Node::new().await;
        let issued = node.issue("read").await;
        node.pass(100 * MS).await;
        node.heard();
        let before = node.replica.staleness().unwrap();
        assert!(before <= 60 * MS, "{before:?}");

        // Another node revokes, and this one hears nothing.
        node.revoke(&issued).await;
        node.feed.fail(failing);
        node.pass((895 * MS).saturating_sub(before)).await;
        assert_eq!(node.verify(&issued).await, Ok(()));
        assert_eq!(node.finds(), 0);
        assert!(node.heard().is_empty());
        node.pass(10 * MS).await;
        assert_eq!(node.verify(&issued).await, Err(UNAVAILABLE));
        assert_eq!(node.finds(), 1);
        let heard = node.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        let cause = match failing {
            Failing::Down => "the store is unavailable: the database is down",
            _ => "the store is unavailable: the store gave no answer within 400 ms",
        };
        assert_eq!(heard[0], format!("replica_stale: {cause}"));

        node.feed.fail(Failing::Not);
        node.pass(500 * MS).await;
        assert_eq!(node.verify(&issued).await, Err(REVOKED));
        assert_eq!(node.finds(), 0);
        assert_eq!(node.heard(), ["replica_fresh"]);
    }
}

#[tokio::test]
async fn a_stale_node_asks_a_database_that_answers() {
    let node = Node::new().await;
    let issued = node.issue("read").await;
    node.feed.fail(Failing::FeedDown);
    node.pass(SECOND).await;
    assert!(!node.replica.is_fresh());
    assert_eq!(node.verify(&issued).await, Ok(()));
    node.revoke(&issued).await;
    assert_eq!(node.verify(&issued).await, Err(REVOKED));
    assert_eq!(node.finds(), 2);
}

#[tokio::test]
async fn a_change_through_the_replica_is_seen_when_it_returns() {
    let node = Node::new().await;
    let issued = node.ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(node.verify(&issued).await, Ok(()));
    let next = node.ring.rotate_now(issued.id()).await.unwrap();
    assert_eq!(node.verify(&next).await, Ok(()));
    assert!(node.verify(&issued).await.is_err());
    let reason = RevocationReason::KeyCompromise;
    node.ring.revoke(next.id(), reason).await.unwrap();
    assert_eq!(node.verify(&next).await, Err(REVOKED));
    assert_eq!(node.finds(), 0);
    // Time stood still: each change had a pull of its own.
    assert!(node.replica.is_fresh());
}

#[tokio::test]
async fn a_change_whose_pull_fails_is_seen_in_the_database() {
    for failing in [Failing::FeedDown, Failing::FeedPanics] {
        let node = Node::new().await;
        let issued = node.ring.issue(Grant::new("alice")).await.unwrap();
        node.feed.fail(failing);
        let reason = RevocationReason::KeyCompromise;
        node.ring.revoke(issued.id(), reason).await.unwrap();
        assert!(!node.replica.is_fresh());
        assert_eq!(node.verify(&issued).await, Err(REVOKED));
        assert_eq!(node.finds(), 1);
        // Neither does the next change wait for a pull that cannot come.
        node.ring.issue(Grant::new("alice")).await.unwrap();
        node.feed.fail(Failing::Not);
        node.pass(200 * MS).await;
        assert!(node.replica.is_fresh());
        assert_eq!(node.verify(&issued).await, Err(REVOKED));
        assert_eq!(node.finds(), 0);
    }
}

#[tokio::test]
async fn settled_is_refused_everywhere() {
    let (node, far) = (Node::new().await, Node::new().await);
    // The staleness was a minute until just now, and the other node may not have heard of the second yet.
    node.feed.state_staleness(SECOND, 60 * SECOND);
    let settling = tokio::spawn({
        let replica = node.replica.clone();
        async move { replica.settle().await }
    });
    node.run().await;
    node.clock.advance(Duration::from_millis(66_666));
    node.run().await;
    assert!(!settling.is_finished());
    node.pass(10 * MS).await;
    settling.await.unwrap().unwrap();

    far.feed.fail(Failing::Down);
    let settling = far.replica.clone();
    let settling = tokio::spawn(async move { settling.settle().await });
    far.pass(100 * MS).await;
    let error = settling.await.unwrap().unwrap_err();
    let kind = tower_api_key::store::StoreErrorKind::Unavailable;
    assert_eq!(error.kind(), kind);
}

#[tokio::test]
async fn a_node_is_ready_once_it_is_fresh() {
    let feed = MemoryFeed::new();
    feed.fail(Failing::Down);
    let node = Node::over(feed, |options| options);
    let issued = node.issue_when_up().await;
    let ready = node.replica.clone();
    let ready = tokio::spawn(async move { ready.ready().await });
    node.pass(300 * MS).await;
    assert!(!ready.is_finished());
    assert_eq!(node.replica.staleness(), None);
    assert_eq!(node.verify(&issued).await, Err(UNAVAILABLE));
    node.feed.fail(Failing::Not);
    node.pass(500 * MS).await;
    ready.await.unwrap().unwrap();
    node.replica.ready().await.unwrap();
    assert_eq!(node.verify(&issued).await, Ok(()));
    // It was never fresh before, so it did not become stale.
    assert_eq!(node.heard(), ["replica_fresh"]);
}

impl Node {
    async fn issue_when_up(&self) -> Issued {
        self.feed.fail(Failing::Not);
        let issued = self.issue("read").await;
        self.feed.fail(Failing::Down);
        issued
    }
}

#[tokio::test]
async fn the_kinds_have_words() {
    let words = [
        (EventKind::ReplicaFresh, "replica_fresh"),
        (EventKind::ReplicaStale, "replica_stale"),
        (EventKind::ReplicaReset, "replica_reset"),
        (EventKind::ReplicaDiverged, "replica_diverged"),
    ];
    for (kind, word) in words {
        assert_eq!(kind.as_str(), word);
    }
}
