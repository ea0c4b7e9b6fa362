//! Old and new are never both live.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tower_api_key::store::{Change, Expected};
use tower_api_key::{Grant, Issued, KeyDigest, KeyRing, Realm};

use super::{Steps, assert_is_dead, await_some, block_on, ring_over, verdict};

/// The newest key on its way into a store, before its secret has been returned.
#[derive(Clone, Default)]
pub(crate) struct Arrivals(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    newest: Option<(Realm, KeyDigest)>,
    commits: usize,
}

impl Arrivals {
    /// Records every commit of this store.
    pub(crate) fn of(store: Steps) -> (Steps, Self) {
        let arrivals = Self::default();
        let noting = arrivals.clone();
        (
            store.before_commit(move |change| noting.note(change)),
            arrivals,
        )
    }

    fn note(&self, change: &Change) {
        let mut state = self.0.lock().unwrap();
        state.commits += 1;
        let mut new = change.writes().iter();
        if let Some(write) = new.find(|write| write.expected == Expected::Absent) {
            let record = &write.record;
            state.newest = Some((record.realm().clone(), *record.digest()));
        }
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap() = State::default();
    }

    pub(crate) fn commits(&self) -> usize {
        self.0.lock().unwrap().commits
    }

    /// Waits until a look-up finds the newest key.
    pub(crate) fn await_newest(&self, store: &Steps) {
        let (realm, digest) = await_some(|| self.0.lock().unwrap().newest.clone());
        let record = await_some(|| store.look_up(&realm, &digest));
        assert_eq!(record.version(), 1);
    }
}

/// Two checkers look for the new key from the start of its commit. Once it is found, every old key
/// must be dead.
pub(crate) fn swap_is_one_step(
    store: &Steps,
    arrivals: &Arrivals,
    old: &[(&KeyRing, &Issued)],
    swap: impl FnOnce() + Send,
) {
    for (ring, key) in old {
        assert_eq!(verdict(ring, key.secret().expose()), Ok("alice".to_owned()));
    }
    arrivals.clear();
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                arrivals.await_newest(store);
                // At once, before anything else takes time.
                for (ring, key) in old {
                    let found = store.look_up(ring.realm(), key.record().digest());
                    assert!(found.is_none_or(|record| record.revocation().is_some()));
                }
                for (ring, key) in old {
                    assert_is_dead(ring, key.secret().expose());
                }
            });
        }
        swap();
        // After it has returned, every caller sees it.
        for (ring, key) in old {
            assert_is_dead(ring, key.secret().expose());
        }
    });
    assert_eq!(arrivals.commits(), 1, "one commit for both");
}

#[test]
fn invariant_3_no_look_up_finds_the_new_key_and_an_old_one_live() {
    for store in Steps::all() {
        let (store, arrivals) = Arrivals::of(store);
        let ring = ring_over(&store);
        for round in 0..150 {
            let first = block_on(ring.issue(Grant::new("alice"))).unwrap();
            let grace = Duration::from_mins(10);
            let second = block_on(ring.rotate(first.record().id(), grace)).unwrap();
            let id = second.record().id();
            let old = [(&ring, &first), (&ring, &second)];
            swap_is_one_step(&store, &arrivals, &old, || {
                let replaced = if round % 2 == 0 {
                    block_on(ring.regrant(id, Grant::new("bob")))
                } else {
                    block_on(ring.rotate_now(id))
                };
                replaced.unwrap();
            });
        }
    }
}

#[test]
fn invariant_3_without_a_shared_store_the_temporary_key_is_dead_first() {
    let temporary = Steps::in_memory();
    let real = Steps::in_memory();
    let (real, arrivals) = Arrivals::of(real);
    let visitors = ring_over(&temporary);
    let customers = KeyRing::builder("real").build(real.clone()).unwrap();
    for _ in 0..100 {
        let issued = block_on(visitors.issue(Grant::new("alice"))).unwrap();
        let old = [(&visitors, &issued)];
        swap_is_one_step(&real, &arrivals, &old, || {
            let promotion = customers.promote(&visitors, issued.record().id(), Grant::new("alice"));
            block_on(promotion).unwrap();
        });
    }
}
