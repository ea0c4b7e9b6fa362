//! After a revocation has returned, nothing is live, even if others rotate, regrant or issue meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tower_api_key::store::ListQuery;
use tower_api_key::{
    Error, ErrorKind, Grant, Issued, KeyId, KeyRing, KeyState, RevocationReason, SystemClock,
    VerifyErrorKind,
};

use super::{Done, Steps, assert_is_dead, await_some, block_on, ring_over, verdict};

const REASON: RevocationReason = RevocationReason::KeyCompromise;

/// A lineage that is being replaced.
struct Contested {
    newest: Mutex<KeyId>,
    /// Every secret of it that a call has returned.
    secrets: Mutex<Vec<String>>,
    /// A revocation of it has returned.
    revoked: AtomicBool,
}

/// Replaces the newest key of a lineage repeatedly, until the lineage is dead.
fn replace_until_dead(ring: &KeyRing, contested: &Contested, turn: usize) {
    let newest = &contested.newest;
    for turn in turn..turn + 1_000_000 {
        let id = *newest.lock().unwrap();
        match block_on(replace(ring, id, turn)) {
            Ok(issued) => {
                *newest.lock().unwrap() = issued.record().id();
                let key = issued.into_secret().expose().to_owned();
                contested.secrets.lock().unwrap().push(key);
            }
            Err(error) => match error.kind() {
                // Another replacer came first, or the whole lineage is dead.
                ErrorKind::KeyRevoked if *newest.lock().unwrap() == id => {
                    thread::yield_now();
                    if *newest.lock().unwrap() == id && is_dead(ring, id) {
                        return;
                    }
                }
                ErrorKind::KeyRevoked | ErrorKind::InGrace | ErrorKind::Conflict => {
                    thread::yield_now();
                }
                kind => panic!("{kind:?}"),
            },
        }
    }
    panic!("the lineage never died");
}

/// Checks the latest keys while others replace and revoke them: the dead stay dead, and every verification
/// that begins after a revocation has returned sees it. Returns the number of accepted keys.
fn look_on(ring: &KeyRing, contested: &Contested, done: &Done) -> usize {
    let (mut dead, mut accepted) = (BTreeSet::new(), 0);
    while done.is_not_yet() {
        let latest: Vec<(usize, String)> = {
            let secrets = contested.secrets.lock().unwrap();
            secrets.iter().cloned().enumerate().rev().take(3).collect()
        };
        for (place, key) in latest {
            let revoked = contested.revoked.load(Ordering::Acquire);
            match verdict(ring, &key) {
                Ok(subject) => {
                    assert_eq!(subject, "alice");
                    assert!(!revoked, "invariant 8: the revocation had returned");
                    assert!(!dead.contains(&place), "invariant 2: the dead stay dead");
                    accepted += 1;
                }
                Err(VerifyErrorKind::Invalid(_)) => {
                    dead.insert(place);
                }
                Err(kind) => panic!("{kind:?}"),
            }
        }
        thread::yield_now();
    }
    accepted
}

async fn replace(ring: &KeyRing, id: KeyId, turn: usize) -> Result<Issued, Error> {
    match turn % 3 {
        0 => ring.rotate_now(id).await,
        1 => ring.regrant(id, Grant::new("alice")).await,
        // A grace period makes the next rotation wait, so the one after takes both.
        _ => ring.rotate(id, Duration::from_mins(1)).await,
    }
}

fn lineage(ring: &KeyRing, id: KeyId) -> Vec<KeyState> {
    use tower_api_key::Clock;
    let lineage = block_on(ring.get(id)).unwrap().unwrap().lineage();
    let records = block_on(ring.list(&ListQuery::new().lineage(lineage))).unwrap();
    let now = SystemClock.now();
    records.iter().map(|record| record.state_at(now)).collect()
}

fn is_dead(ring: &KeyRing, id: KeyId) -> bool {
    lineage(ring, id)
        .iter()
        .all(|state| *state == KeyState::Revoked)
}

fn nothing_survives(rounds: usize, revoke: impl Fn(&KeyRing, KeyId)) {
    for store in Steps::all() {
        let ring = ring_over(&store);
        let mut accepted = 0;
        for round in 0..rounds {
            let first = block_on(ring.issue(Grant::new("alice"))).unwrap();
            let id = first.record().id();
            let contested = Contested {
                newest: Mutex::new(id),
                secrets: Mutex::new(vec![first.into_secret().expose().to_owned()]),
                revoked: AtomicBool::new(false),
            };
            let done = Done::default();
            accepted += thread::scope(|threads| {
                let ending = done.when_dropped();
                let (ring, contested, done) = (&ring, &contested, &done);
                let onlooker = threads.spawn(move || look_on(ring, contested, done));
                let replacers: Vec<_> = (0..2)
                    .map(|offset| {
                        threads.spawn(move || replace_until_dead(ring, contested, round + offset))
                    })
                    .collect();
                await_some(|| (lineage(ring, id).len() > 2 + round % 7).then_some(()));
                revoke(ring, id);
                contested.revoked.store(true, Ordering::Release);
                assert!(is_dead(ring, id), "right after the revocation returned");
                for replacer in replacers {
                    replacer.join().unwrap();
                }
                assert!(is_dead(ring, id), "and for ever");
                drop(ending);
                onlooker.join().unwrap()
            });
            let secrets = contested.secrets.into_inner().unwrap();
            assert_eq!(secrets.len(), lineage(&ring, id).len());
            for key in &secrets {
                assert_is_dead(&ring, key);
            }
        }
        assert!(accepted > 0, "the onlooker saw keys that worked");
    }
}

#[test]
fn invariant_6_a_lineage_revoke_that_returned_leaves_none_live() {
    nothing_survives(25, |ring, id| {
        block_on(ring.revoke_lineage(id, REASON)).unwrap();
    });
}

#[test]
fn invariant_6_a_subject_revoke_that_returned_leaves_no_lineage_live() {
    nothing_survives(25, |ring, _| {
        block_on(ring.revoke_subject("alice", REASON)).unwrap();
    });
}

/// The revocation includes every key that was issued before its commit.
#[test]
fn invariant_6_a_subject_revoke_takes_the_keys_that_were_issued_while_it_read() {
    for store in Steps::all() {
        let returned: Arc<Mutex<Vec<String>>> = Arc::default();
        let before: Arc<Mutex<Vec<String>>> = Arc::default();
        let store = {
            let (returned, before) = (Arc::clone(&returned), Arc::clone(&before));
            store.before_revoke(move || {
                before.lock().unwrap().clone_from(&returned.lock().unwrap());
                // Opens the gap between the read and the commit.
                thread::yield_now();
            })
        };
        let ring = ring_over(&store);
        for _ in 0..40 {
            returned.lock().unwrap().clear();
            thread::scope(|threads| {
                for _ in 0..2 {
                    threads.spawn(|| {
                        for _ in 0..15 {
                            let issued = block_on(ring.issue(Grant::new("alice"))).unwrap();
                            let key = issued.into_secret().expose().to_owned();
                            returned.lock().unwrap().push(key);
                            thread::yield_now();
                        }
                    });
                }
                await_some(|| (returned.lock().unwrap().len() > 3).then_some(()));
                let ended = block_on(ring.revoke_subject("alice", REASON)).unwrap();
                let before = before.lock().unwrap();
                assert!(ended >= before.len() && ended > 3);
                for key in before.iter() {
                    assert_is_dead(&ring, key);
                }
            });
            block_on(ring.revoke_subject("alice", REASON)).unwrap();
            for key in returned.lock().unwrap().iter() {
                assert_is_dead(&ring, key);
            }
        }
    }
}
