//! Connections whose owner loses the right to them.

use std::task::Poll;
use std::time::Duration;

use tower_api_key::store::MemoryStore;
use tower_api_key::{ErrorKind, KeyRing, KeyState, RevocationReason, Watch};

use super::{Says, Table, builder};
use crate::support::{ObservedStore, issue, poll_once};

const INTERVAL: Duration = Duration::from_millis(500);

fn polled(watch: &mut Watch) -> Poll<Result<KeyState, ErrorKind>> {
    let polled = poll_once(watch);
    polled.map(|outcome| outcome.map_err(|error| error.kind()))
}

/// Polls it often enough for answers that come later.
async fn settled(watch: &mut Watch) -> Poll<Result<KeyState, ErrorKind>> {
    for _ in 0..10 {
        if let Poll::Ready(outcome) = polled(watch) {
            return Poll::Ready(outcome);
        }
        tokio::task::yield_now().await;
    }
    Poll::Pending
}

#[tokio::test]
async fn r32_a_watch_ends_with_the_right_of_its_owner_at_the_next_look() {
    for (says, ended) in [
        (Says::Refused, ErrorKind::OwnerRefused),
        (Says::Fails, ErrorKind::Store),
        (Says::Panics, ErrorKind::Store),
    ] {
        for in_memory in [true, false] {
            let table = Table::new(Says::Within("read"));
            let (builder, clock) = builder(&table);
            let ring = if in_memory {
                builder.build(MemoryStore::new())
            } else {
                builder.build(ObservedStore::new())
            };
            let ring = ring.unwrap();
            let mut watch = ring.watch(issue(&ring, "read").await.id());
            assert_eq!(settled(&mut watch).await, Poll::Pending);
            // A loss of scopes is no end, as when the key is narrowed.
            table.set(Says::Within(""));
            clock.advance(INTERVAL);
            assert_eq!(settled(&mut watch).await, Poll::Pending);
            table.set(says);
            assert_eq!(
                settled(&mut watch).await,
                Poll::Pending,
                "before the next look"
            );
            clock.advance(INTERVAL);
            assert_eq!(
                settled(&mut watch).await,
                Poll::Ready(Err(ended)),
                "{says:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_owner_is_asked_once_for_all_watched_keys_and_no_owner_of_a_dead_key() {
    let table = Table::new(Says::Unrestricted);
    let (builder, clock) = builder(&table);
    let ring: KeyRing = builder.build(MemoryStore::new()).unwrap();
    let ids = [
        issue(&ring, "read").await.id(),
        issue(&ring, "read").await.id(),
    ];
    let mut watches = ids.map(|id| ring.watch(id));
    for watch in &mut watches {
        assert_eq!(settled(watch).await, Poll::Pending);
    }
    let before = table.questions();
    clock.advance(INTERVAL);
    for watch in &mut watches {
        assert_eq!(settled(watch).await, Poll::Pending);
    }
    assert_eq!(table.questions(), before + 1);

    for id in ids {
        ring.revoke(id, RevocationReason::KeyCompromise)
            .await
            .unwrap();
    }
    for watch in &mut watches {
        let revoked = Poll::Ready(Ok(KeyState::Revoked));
        assert_eq!(settled(watch).await, revoked);
    }
    assert_eq!(table.questions(), before + 1);
}

#[tokio::test]
async fn r20_owners_that_never_answer_end_each_watch_within_one_bound() {
    let table = Table::new(Says::Unrestricted);
    let (builder, clock) = builder(&table);
    let ring: KeyRing = builder.build(MemoryStore::new()).unwrap();
    // More than are asked at a time.
    let mut watches = Vec::new();
    for number in 0..70 {
        let grant = tower_api_key::Grant::new(format!("user {number}"));
        watches.push(ring.watch(ring.issue(grant).await.unwrap().id()));
    }
    table.set(Says::Never);
    for watch in &mut watches {
        assert_eq!(settled(watch).await, Poll::Pending);
    }
    clock.advance(Duration::from_secs(2));
    for watch in &mut watches {
        assert_eq!(settled(watch).await, Poll::Ready(Err(ErrorKind::Store)));
    }
}
