//! Writers and readers at the same time, in bounded loops.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{Grant, InvalidCause, KeyRing, RevocationReason};

use super::{invalid, verdict};

/// More iterations than any thread needs before it sees another thread's change.
const PATIENCE: usize = 50_000_000;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn ring() -> KeyRing {
    KeyRing::builder("acme").build(MemoryStore::new()).unwrap()
}

/// Invariant 8: a revocation that returned before a verification began denies it.
#[test]
fn invariant_8_after_revoke_returned_nothing_is_accepted() {
    const READERS: usize = 3;
    let ring = ring();
    for round in 0..20 {
        let issued = block_on(ring.issue(Grant::new("alice"))).unwrap();
        let (id, key) = (issued.record().id(), issued.secret().expose());
        let start = Barrier::new(READERS + 1);
        let accepted = AtomicUsize::new(0);
        let revoked = AtomicBool::new(false);
        thread::scope(|threads| {
            for _ in 0..READERS {
                threads.spawn(|| {
                    start.wait();
                    block_on(async {
                        let mut seen_revoked = 0;
                        for _ in 0..PATIENCE {
                            let was_revoked = revoked.load(Ordering::Acquire);
                            let verdict = verdict(&ring, key).await;
                            if was_revoked {
                                assert_eq!(verdict, invalid(InvalidCause::Revoked), "{round}");
                                seen_revoked += 1;
                            } else if verdict.is_ok() {
                                accepted.fetch_add(1, Ordering::Relaxed);
                            }
                            if seen_revoked == 50 {
                                return;
                            }
                        }
                        panic!("the revocation was never seen");
                    });
                });
            }
            start.wait();
            for _ in 0..PATIENCE {
                if accepted.load(Ordering::Relaxed) >= 10 * READERS {
                    break;
                }
                thread::yield_now();
            }
            block_on(ring.revoke(id, RevocationReason::KeyCompromise)).unwrap();
            revoked.store(true, Ordering::Release);
        });
        assert!(accepted.load(Ordering::Relaxed) >= 10 * READERS);
    }
}

/// A look-up that overlaps a change sees the record before it or after it, never none, because a
/// caller takes none for a key that does not exist.
#[test]
fn a_record_is_never_missing_while_it_changes() {
    const KEYS: usize = 12_000;
    let ring = ring();
    let issued: Vec<_> = (0..KEYS)
        .map(|_| block_on(ring.issue(Grant::new("alice"))).unwrap())
        .collect();
    let current = AtomicUsize::new(0);
    let missing = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                block_on(async {
                    for _ in 0..PATIENCE {
                        let Some(issued) = issued.get(current.load(Ordering::Relaxed)) else {
                            return;
                        };
                        let verdict = verdict(&ring, issued.secret().expose()).await;
                        if verdict.is_err() && verdict != invalid(InvalidCause::Revoked) {
                            assert_eq!(verdict, invalid(InvalidCause::Unknown));
                            missing.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            });
        }
        for issued in &issued {
            let id = issued.record().id();
            block_on(ring.revoke(id, RevocationReason::CessationOfOperation)).unwrap();
            current.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(
        missing.into_inner(),
        0,
        "look-ups of {KEYS} records that changed"
    );
}

#[test]
fn of_several_revocations_one_is_kept() {
    let reasons = [
        RevocationReason::KeyCompromise,
        RevocationReason::Superseded,
        RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn,
    ];
    let ring = ring();
    for _ in 0..100 {
        let id = block_on(ring.issue(Grant::new("alice")))
            .unwrap()
            .record()
            .id();
        let start = Barrier::new(reasons.len());
        thread::scope(|threads| {
            for reason in reasons {
                let (ring, start) = (&ring, &start);
                threads.spawn(move || {
                    start.wait();
                    block_on(ring.revoke(id, reason)).unwrap();
                });
            }
        });
        let record = block_on(ring.get(id)).unwrap().unwrap();
        assert_eq!(record.version(), 2);
        assert!(reasons.contains(&record.revocation().unwrap().reason));
    }
}

#[test]
fn keys_issued_at_once_are_all_there() {
    const EACH: usize = 100;
    let ring = ring();
    let start = Barrier::new(4);
    let keys: Vec<String> = thread::scope(|threads| {
        let issuers: Vec<_> = (0..4)
            .map(|_| {
                threads.spawn(|| {
                    start.wait();
                    block_on(async {
                        let mut keys = Vec::new();
                        for _ in 0..EACH {
                            let issued = ring.issue(Grant::new("alice")).await.unwrap();
                            let key = issued.secret().expose().to_owned();
                            // Visible at once after it is issued, while others write.
                            assert_eq!(verdict(&ring, &key).await, Ok("alice".to_owned()));
                            keys.push(key);
                        }
                        keys
                    })
                })
            })
            .collect();
        issuers
            .into_iter()
            .flat_map(|issuer| issuer.join().unwrap())
            .collect()
    });
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 4 * EACH);
    let records = block_on(ring.list(&ListQuery::new())).unwrap();
    assert_eq!(records.len(), 4 * EACH);
    for key in &keys {
        assert_eq!(block_on(verdict(&ring, key)), Ok("alice".to_owned()));
    }
}
