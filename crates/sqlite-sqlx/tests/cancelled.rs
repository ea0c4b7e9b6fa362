//! Calls that are dropped before they end.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tower_api_key::store::{KeyStore, ListQuery, Lookup};
use tower_api_key::{Grant, KeyDigest, RevocationReason};

use super::sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use super::{REVOKED, over, pool, ring, settings, sqlx, verdict};
use tower_api_key_test_support::folder::Folder;

/// Held while a call is polled, and by SQLite at each step. So no statement ends within the poll that began it,
/// and each is waited for, however fast the other thread is.
#[derive(Default)]
struct Gate(Arc<Mutex<()>>);

impl Gate {
    /// A pool of one connection, which holds at the gate, as does each that takes its place.
    async fn pool(&self, path: &Path) -> SqlitePool {
        let gate = Arc::clone(&self.0);
        let options =
            SqlitePoolOptions::new()
                .max_connections(1)
                .after_connect(move |connection, _| {
                    let gate = Arc::clone(&gate);
                    Box::pin(async move {
                        let mut handle = connection.lock_handle().await?;
                        handle.set_progress_handler(1, move || {
                            drop(gate.lock().unwrap());
                            true
                        });
                        Ok(())
                    })
                });
        options.connect_with(settings(path)).await.unwrap()
    }

    /// Polls a call this often, and drops it. `None` if it had ended before.
    async fn dropped_after<T>(&self, polls: usize, call: impl Future<Output = T>) -> Option<()> {
        let mut call = Box::pin(call);
        let mut left = polls;
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(Some(()));
            }
            left -= 1;
            let _held = self.0.lock().unwrap();
            Pin::as_mut(&mut call).poll(context).map(|_| None)
        })
        .await
    }
}

/// A handler whose client hangs up, at each point at which it waits: the one connection of the pool is in no
/// transaction then, and no other writer waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r19_a_dropped_call_leaves_no_transaction_in_the_pool() {
    let folder = Folder::new();
    let gate = Gate::default();
    let pool_of_one = gate.pool(&folder.keys()).await;
    let store = over(&pool_of_one).await;
    let ring = ring(store.clone());
    let others = pool(&folder.keys()).await;
    let realm = "orders".parse().unwrap();
    let digest = KeyDigest::sha256(b"none");
    // A change begins, writes and commits at least, and each statement is waited for.
    for (call, statements) in [(0, 3), (1, 3), (2, 1), (3, 1)] {
        for polls in 1.. {
            let has_ended = match call {
                0 => {
                    gate.dropped_after(polls, ring.issue(Grant::new("alice")))
                        .await
                }
                1 => {
                    let reason = RevocationReason::Superseded;
                    gate.dropped_after(polls, ring.revoke_subject("alice", reason))
                        .await
                }
                2 => {
                    gate.dropped_after(polls, ring.list(&ListQuery::new()))
                        .await
                }
                // As a ring would poll it without a runtime.
                _ => match store.find(&realm, &digest) {
                    Lookup::Pending(found) => gate.dropped_after(polls, found).await,
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
                assert!(polls > statements, "call {call}: {polls} polls");
                break;
            }
        }
    }
    // Each was applied as a whole or not at all, and the store is in order.
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, Ok(()));
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(issued.id(), reason).await.unwrap();
    assert_eq!(verdict(&ring, &issued).await, REVOKED);
}
