//! A revocation that returned leaves nothing live, whoever rotates, regrants or issues meanwhile.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tower_api_key::store::{Change, ListQuery};
use tower_api_key::{
    Error, ErrorKind, Grant, Issued, KeyId, KeyRing, KeyState, RevocationReason, SystemClock,
};

use super::{Steps, assert_is_dead, await_some, block_on, ring_over};

const REASON: RevocationReason = RevocationReason::KeyCompromise;

/// Replaces the newest key of a lineage over and over, until the lineage is dead. Returns the
/// secrets that it made.
fn replace_until_dead(ring: &KeyRing, newest: &Mutex<KeyId>, turn: usize) -> Vec<String> {
    let mut secrets = Vec::new();
    for turn in turn..turn + 1_000_000 {
        let id = *newest.lock().unwrap();
        match block_on(replace(ring, id, turn)) {
            Ok(issued) => {
                *newest.lock().unwrap() = issued.record().id();
                secrets.push(issued.into_secret().expose().to_owned());
            }
            Err(error) => match error.kind() {
                // Another replacer was first, or the whole lineage is dead.
                ErrorKind::KeyRevoked if *newest.lock().unwrap() == id => {
                    thread::yield_now();
                    if *newest.lock().unwrap() == id && is_dead(ring, id) {
                        return secrets;
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

async fn replace(ring: &KeyRing, id: KeyId, turn: usize) -> Result<Issued, Error> {
    match turn % 3 {
        0 => ring.rotate_at_once(id).await,
        1 => ring.regrant(id, Grant::new("alice")).await,
        // A grace makes the next rotation wait, so the one after takes both.
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

/// Other writers can be first more often than a call retries; whoever revokes then calls again.
fn insist<T>(mut revoke: impl FnMut() -> Result<T, Error>) -> T {
    await_some(|| match revoke() {
        Ok(done) => Some(done),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            None
        }
    })
}

fn nothing_survives(rounds: usize, revoke: impl Fn(&KeyRing, KeyId)) {
    for store in Steps::both() {
        let ring = ring_over(&store);
        for round in 0..rounds {
            let first = block_on(ring.issue(Grant::new("alice"))).unwrap();
            let id = first.record().id();
            let newest = Mutex::new(id);
            let mut secrets = thread::scope(|threads| {
                let replacers: Vec<_> = (0..2)
                    .map(|offset| {
                        let (ring, newest) = (&ring, &newest);
                        threads.spawn(move || replace_until_dead(ring, newest, round + offset))
                    })
                    .collect();
                await_some(|| (lineage(&ring, id).len() > 2 + round % 7).then_some(()));
                revoke(&ring, id);
                assert!(is_dead(&ring, id), "right after the revocation returned");
                let secrets = replacers.into_iter();
                let secrets: Vec<String> = secrets
                    .flat_map(|replacer| replacer.join().unwrap())
                    .collect();
                assert!(is_dead(&ring, id), "and for ever");
                secrets
            });
            secrets.push(first.into_secret().expose().to_owned());
            assert_eq!(secrets.len(), lineage(&ring, id).len());
            for key in &secrets {
                assert_is_dead(&ring, key);
            }
        }
    }
}

#[test]
fn invariant_6_a_lineage_revoke_that_returned_leaves_none_live() {
    nothing_survives(25, |ring, id| {
        insist(|| block_on(ring.revoke_lineage(id, REASON)));
    });
}

#[test]
fn invariant_6_a_subject_revoke_that_returned_leaves_no_lineage_live() {
    nothing_survives(25, |ring, _| {
        insist(|| block_on(ring.revoke_subject("alice", REASON)));
    });
}

/// Whatever was issued before the commit of the revocation is in it.
#[test]
fn invariant_6_a_subject_revoke_takes_the_keys_that_were_issued_while_it_read() {
    for store in Steps::both() {
        let returned: Arc<Mutex<Vec<String>>> = Arc::default();
        let before: Arc<Mutex<Vec<String>>> = Arc::default();
        let store = {
            let (returned, before) = (Arc::clone(&returned), Arc::clone(&before));
            store.before_commit(move |change: &Change| {
                if !change.subjects().is_empty() {
                    before.lock().unwrap().clone_from(&returned.lock().unwrap());
                    // Opens the gap between what was read and the commit.
                    thread::yield_now();
                }
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
                let ended = insist(|| block_on(ring.revoke_subject("alice", REASON)));
                let before = before.lock().unwrap();
                assert!(ended >= before.len() && ended > 3);
                for key in before.iter() {
                    assert_is_dead(&ring, key);
                }
            });
            insist(|| block_on(ring.revoke_subject("alice", REASON)));
            for key in returned.lock().unwrap().iter() {
                assert_is_dead(&ring, key);
            }
        }
    }
}
