//! A verdict has the authority of one commit, and never of a commit that is over.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use tower_api_key::{
    Grant, InvalidCause, KeyRing, ManualClock, ScopeSet, VerifiedKey, VerifyErrorKind,
};

use super::{Done, Steps, await_some, block_on, invalid, ring_over, verdict};
use crate::support::START;

/// The keys of a lineage, each with its place in its grant.
#[derive(Default)]
struct Chain {
    secrets: Mutex<Vec<String>>,
    /// The number of keys that are narrowed, after the calls have returned.
    narrowed: AtomicUsize,
    /// The number of keys that are replaced, after the calls have returned.
    replaced: AtomicUsize,
}

fn grant(place: usize) -> Grant {
    Grant::new(format!("subject{place}"))
        .scopes([format!("do{place}"), format!("do{place}.more")])
        .label(format!("label{place}"))
        .metadata([("place", place.to_string())])
}

/// Every part of the verdict belongs to this place. Returns whether the key is wide.
fn is_whole(key: &VerifiedKey, place: usize) -> bool {
    assert_eq!(*key.subject(), format!("subject{place}"));
    assert_eq!(key.label(), format!("label{place}").parse().ok().as_ref());
    assert_eq!(key.metadata().get("place"), Some(&*place.to_string()));
    let scopes = key.scopes().as_str();
    if scopes == format!("do{place}") {
        return false;
    }
    assert_eq!(scopes, format!("do{place} do{place}.more"));
    true
}

/// The authority that a key was seen with, in decreasing order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Seen {
    Wide,
    Narrow,
    Dead,
}

fn look(ring: &KeyRing, chain: &Chain, place: usize) -> Seen {
    let key = chain.secrets.lock().unwrap()[place].clone();
    // Read before the verification begins.
    let replaced = place < chain.replaced.load(Ordering::Acquire);
    let narrowed = place < chain.narrowed.load(Ordering::Acquire);
    let seen = match block_on(ring.verify(key.as_bytes())) {
        Ok(key) if is_whole(&key, place) => Seen::Wide,
        Ok(_) => Seen::Narrow,
        Err(error) => {
            let kind = VerifyErrorKind::Invalid(InvalidCause::Replaced);
            assert_eq!(error.kind(), kind);
            Seen::Dead
        }
    };
    assert!(!replaced || seen == Seen::Dead, "{place} was replaced");
    assert!(!narrowed || seen >= Seen::Narrow, "{place} was narrowed");
    seen
}

/// Verifies keys of a lineage while each is narrowed and then replaced, `length` times.
fn verify_beside_changes(store: &Steps, length: usize) {
    let ring = ring_over(store);
    let chain = Chain::default();
    let done = Done::default();
    let counts: [AtomicUsize; 3] = Default::default();
    let first = block_on(ring.issue(grant(0))).unwrap();
    let mut id = first.record().id();
    let key = first.into_secret().expose().to_owned();
    chain.secrets.lock().unwrap().push(key);
    thread::scope(|threads| {
        let ending = done.when_dropped();
        for _ in 0..2 {
            threads.spawn(|| {
                // If a thread fails, it ends the others.
                let _ending = done.when_dropped();
                let mut latest = BTreeMap::new();
                while done.is_not_yet() {
                    let newest = chain.secrets.lock().unwrap().len() - 1;
                    for place in [newest, newest.saturating_sub(1), newest / 2] {
                        let seen = look(&ring, &chain, place);
                        counts[seen as usize].fetch_add(1, Ordering::Relaxed);
                        let before = latest.insert(place, seen).unwrap_or(Seen::Wide);
                        assert!(before <= seen, "{place}: {before:?}, then {seen:?}");
                    }
                }
            });
        }
        let looked = || {
            let looks = || -> usize {
                counts
                    .iter()
                    .map(|count| count.load(Ordering::Relaxed))
                    .sum()
            };
            let before = looks();
            await_some(|| (looks() > before + 3 || !done.is_not_yet()).then_some(()));
        };
        for place in 0..length {
            looked();
            let narrow: ScopeSet = format!("do{place}").parse().unwrap();
            block_on(ring.narrow(id, &narrow)).unwrap();
            chain.narrowed.store(place + 1, Ordering::Release);
            looked();
            let next = block_on(ring.regrant(id, grant(place + 1))).unwrap();
            chain.replaced.store(place + 1, Ordering::Release);
            id = next.record().id();
            let key = next.into_secret().expose().to_owned();
            chain.secrets.lock().unwrap().push(key);
        }
        drop(ending);
    });
    for count in counts {
        assert!(count.into_inner() > length, "each was seen many a time");
    }
}

#[test]
fn r02_invariant_7_and_8_a_verdict_is_the_authority_of_one_commit_and_of_none_that_is_over() {
    for store in Steps::all() {
        verify_beside_changes(&store, 150);
    }
}

/// The race above finds a store whose look-up reads a key and its scopes one after the other.
#[test]
fn r02_a_look_up_that_reads_twice_is_found_out() {
    let store = Steps::in_memory().reading_twice();
    let found = catch_unwind(AssertUnwindSafe(|| verify_beside_changes(&store, 2_000)));
    assert!(found.is_err(), "two reads went unseen");
}

/// After its rotation, every verdict has the key's shortened end.
#[test]
fn r02_invariant_7_a_verdict_beside_a_rotation_has_the_end_of_one_commit() {
    let grace = Duration::from_mins(1);
    let whole = START.checked_add(Duration::from_hours(90 * 24));
    let cut = START.checked_add(grace);
    for store in Steps::all() {
        let clock = ManualClock::new(START);
        let ring = KeyRing::builder("acme").clock(clock).build(store).unwrap();
        for _ in 0..60 {
            let issued = block_on(ring.issue(Grant::new("alice"))).unwrap();
            let (id, key) = (issued.record().id(), issued.secret().expose());
            let (done, rotated) = (Done::default(), AtomicBool::new(false));
            let looks = AtomicUsize::new(0);
            thread::scope(|threads| {
                let ending = done.when_dropped();
                for _ in 0..2 {
                    threads.spawn(|| {
                        let mut was_cut = false;
                        while done.is_not_yet() {
                            let must = was_cut || rotated.load(Ordering::Acquire);
                            let verdict = block_on(ring.verify(key.as_bytes())).unwrap();
                            let until = verdict.valid_until();
                            was_cut = until == cut;
                            assert!(was_cut || until == whole && !must, "{until:?}");
                            looks.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                let wait = || {
                    let before = looks.load(Ordering::Relaxed);
                    await_some(|| (looks.load(Ordering::Relaxed) > before + 3).then_some(()));
                };
                wait();
                block_on(ring.rotate(id, grace)).unwrap();
                rotated.store(true, Ordering::Release);
                wait();
                drop(ending);
            });
        }
    }
}

/// Look-ups of two keys are not a snapshot, but a caller that sees the one narrowed sees the other
/// dead.
#[test]
fn r03_who_sees_the_narrowed_key_sees_no_predecessor_in_its_grace() {
    for store in Steps::all() {
        let ring = ring_over(&store);
        for _ in 0..200 {
            let old = block_on(ring.issue(grant(0))).unwrap();
            let grace = Duration::from_mins(1);
            let new = block_on(ring.rotate(old.record().id(), grace)).unwrap();
            let start = Barrier::new(2);
            thread::scope(|threads| {
                threads.spawn(|| {
                    start.wait();
                    let narrow: ScopeSet = "do0".parse().unwrap();
                    block_on(ring.narrow(new.record().id(), &narrow)).unwrap();
                });
                start.wait();
                let key = new.secret().expose();
                await_some(|| {
                    let verdict = block_on(ring.verify(key.as_bytes())).unwrap();
                    (!is_whole(&verdict, 0)).then_some(())
                });
                let old = old.secret().expose();
                assert_eq!(verdict(&ring, old), invalid(InvalidCause::Revoked));
            });
        }
    }
}
