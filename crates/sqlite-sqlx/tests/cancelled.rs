//! Calls that are dropped before they end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tower_api_key::store::{KeyStore, ListQuery, Lookup};
use tower_api_key::{Grant, KeyDigest, RevocationReason};

use super::{REVOKED, over, pool, pool_with, ring, settings, sqlx, verdict};
use tower_api_key_test_support::folder::Folder;

/// Polls a call this often, and drops it. `None` if it had ended before.
async fn dropped_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<()> {
    let mut call = Box::pin(call);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(Some(()));
        }
        left -= 1;
        Pin::as_mut(&mut call).poll(context).map(|_| None)
    })
    .await
}

/// A handler whose client hangs up, at each point at which it waits: the one connection of the pool is in no
/// transaction then, and no other writer waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r19_a_dropped_call_leaves_no_transaction_in_the_pool() {
    let folder = Folder::new();
    let pool_of_one = pool_with(settings(&folder.keys()), 1).await;
    let store = over(&pool_of_one).await;
    let ring = ring(store.clone());
    let others = pool(&folder.keys()).await;
    let realm = "orders".parse().unwrap();
    let digest = KeyDigest::sha256(b"none");
    let mut dropped = 0;
    for call in 0..4 {
        for polls in 1.. {
            let has_ended = match call {
                0 => dropped_after(polls, ring.issue(Grant::new("alice"))).await,
                1 => {
                    let reason = RevocationReason::Superseded;
                    dropped_after(polls, ring.revoke_subject("alice", reason)).await
                }
                2 => dropped_after(polls, ring.list(&ListQuery::new())).await,
                // As a ring would poll it without a runtime.
                _ => match store.find(&realm, &digest) {
                    Lookup::Pending(found) => dropped_after(polls, found).await,
                    Lookup::Ready(_) => unreachable!(),
                },
            }
            .is_none();
            let mut own = pool_of_one.acquire().await.unwrap();
            let begun = sqlx::raw_sql("BEGIN; ROLLBACK").execute(&mut *own).await;
            begun.unwrap_or_else(|error| panic!("call {call}, {polls} polls: {error}"));
            drop(own);
            let other = others.begin_with("BEGIN IMMEDIATE").await;
            other.unwrap().rollback().await.unwrap();
            if has_ended {
                break;
            }
            dropped += 1;
        }
    }
    assert!(dropped > 10, "{dropped}");
    // Each was applied as a whole or not at all, and the store is in order.
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(issued.id(), reason).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, REVOKED);
}
