//! Futures that end, pages, and realms.

use std::sync::atomic::Ordering;

use tower_api_key::Realm;
use tower_api_key::store::KeyStore;

use super::*;

#[tokio::test]
async fn r22_a_dropped_follow_future_is_stale() {
    let node = Node::new().await;
    let issued = node.issue("read").await;
    node.pass(100 * MS).await;
    node.heard();
    node.follow.abort();
    node.run().await;
    let dropped = "replica_stale: the store is unavailable: the future `Follow` was dropped";
    assert_eq!(node.heard(), [dropped]);
    assert_eq!(node.verify(&issued).await, Ok(()));
    assert_eq!(node.finds(), 1);
    node.feed.fail(Failing::Down);
    assert_eq!(node.verify(&issued).await, Err(UNAVAILABLE));
    node.feed.fail(Failing::Not);
    // No change waits for a pull that never comes.
    let reason = RevocationReason::KeyCompromise;
    node.ring.revoke(issued.id(), reason).await.unwrap();
    assert_eq!(node.verify(&issued).await, Err(REVOKED));
    for error in [node.replica.ready().await, node.replica.catch_up().await] {
        let error = error.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "the future `Follow` was dropped");
    }
}

/// The future is there, and nothing polls it.
#[tokio::test]
async fn r22_a_starved_follow_future_is_stale() {
    let feed = MemoryFeed::new();
    let clock = ManualClock::new(START);
    let (replica, follow) = Replica::options()
        .staleness(SECOND)
        .clock(clock.clone())
        .follow(feed.clone())
        .unwrap();
    let mut follow = Box::pin(follow);
    for _ in 0..20 {
        let polled = std::future::poll_fn(|context| {
            use std::future::Future;
            std::task::Poll::Ready(follow.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
    }
    assert!(replica.is_fresh());
    let ring = KeyRing::builder("acme")
        .clock(clock.clone())
        .build(replica.clone())
        .unwrap();
    let issuing = tokio::spawn({
        let ring = ring.clone();
        async move { ring.issue(Grant::new("alice")).await.unwrap() }
    });
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(!issuing.is_finished(), "it waits for a pull");
    clock.advance(SECOND);
    let issued = issuing.await.unwrap();
    assert!(!replica.is_fresh(), "the change is not in memory");
    let key = issued.secret().expose().as_bytes().to_vec();
    ring.verify(&key).await.unwrap();
    assert_eq!(feed.calls().find.load(Ordering::Relaxed), 1);
    drop(follow);
}

#[tokio::test]
async fn pages_are_one_pull() {
    let feed = MemoryFeed::new();
    feed.page_size(3);
    let node = Node::over(feed, |options| options);
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(node.issue("read").await);
    }
    node.run().await;
    assert!(node.replica.is_fresh());
    assert_eq!(node.replica.len(), 10);
    for issued in &keys {
        node.revoke(issued).await;
    }
    node.pass(60 * MS).await;
    for issued in &keys {
        assert_eq!(node.verify(issued).await, Err(REVOKED));
    }
    let calls = node.feed.calls();
    assert_eq!(calls.page.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn r31_realms_that_are_not_held_are_asked_for() {
    let orders = Realm::new("orders").unwrap();
    let node = Node::over(MemoryFeed::new(), |options| {
        options.realms([orders.clone()])
    });
    let billing = KeyRing::builder("acme")
        .realm("billing")
        .clock(node.clock.clone())
        .build(node.replica.clone())
        .unwrap();
    node.run().await;
    let theirs = billing.issue(Grant::new("bob")).await.unwrap();
    let ours = node.issue("read").await;
    node.pass(100 * MS).await;
    assert_eq!(node.replica.len(), 1);
    assert!(node.replica.index(billing.realm()).is_none());
    assert_eq!(node.verify(&ours).await, Ok(()));
    assert_eq!(node.finds(), 0);
    billing
        .verify(theirs.secret().expose().as_bytes())
        .await
        .unwrap();
    assert_eq!(node.finds(), 1);
    assert_eq!(node.verify(&theirs).await, Err(UNKNOWN));
}

/// Old changes are forgotten once a minute, and not before a quarter of an hour.
#[tokio::test]
async fn a_replica_has_old_changes_forgotten() {
    let node = Node::new().await;
    let forgets = || node.feed.calls().forget.load(Ordering::Relaxed);
    for _ in 0..15 {
        assert_eq!(forgets(), 0);
        node.clock.advance(60 * SECOND);
        node.pass(100 * MS).await;
    }
    assert_eq!(forgets(), 1);
    node.clock.advance(60 * SECOND);
    node.pass(100 * MS).await;
    assert_eq!(forgets(), 2);
}
