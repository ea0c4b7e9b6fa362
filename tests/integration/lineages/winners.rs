//! One winner for each version, and limits that hold in a race.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tower_api_key::store::ListQuery;
use tower_api_key::{
    Error, ErrorKind, Grant, Issued, KeyId, KeyRecord, KeyRing, RevocationReason, ScopeSet,
};

use super::{Done, Steps, block_on, ring_over};

const GRACE: Duration = Duration::from_mins(10);

fn grant() -> Grant {
    Grant::new("alice").scopes(["read", "write"]).unwrap()
}

fn replace(ring: &KeyRing, id: KeyId, how: usize) -> Result<Issued, Error> {
    block_on(async {
        match how {
            0 => ring.rotate(id, GRACE).await,
            1 => ring.rotate_at_once(id).await,
            _ => ring.regrant(id, Grant::new("alice")).await,
        }
    })
}

#[test]
fn invariant_6_of_several_replacements_of_a_key_one_wins() {
    for store in Steps::both() {
        let ring = ring_over(&store);
        for _ in 0..80 {
            let id = block_on(ring.issue(grant())).unwrap().record().id();
            let start = Barrier::new(4);
            let (replaced, narrowed) = thread::scope(|threads| {
                let replacers: Vec<_> = (0..3)
                    .map(|how| {
                        let (ring, start) = (&ring, &start);
                        threads.spawn(move || {
                            start.wait();
                            replace(ring, id, how).map(|issued| (how, issued))
                        })
                    })
                    .collect();
                start.wait();
                let read: ScopeSet = "read".parse().unwrap();
                let narrowed = block_on(ring.narrow(id, &read));
                let replaced: Vec<_> = replacers
                    .into_iter()
                    .map(|replacer| replacer.join().unwrap())
                    .collect();
                (replaced, narrowed)
            });
            let lost = [ErrorKind::InGrace, ErrorKind::KeyRevoked];
            let mut winners = Vec::new();
            for end in replaced {
                match end {
                    Ok(winner) => winners.push(winner),
                    Err(error) => assert!(lost.contains(&error.kind()), "{error}"),
                }
            }
            let [(how, new)] = &winners[..] else {
                panic!("{} of them won", winners.len());
            };
            let old = block_on(ring.get(id)).unwrap().unwrap();
            let was_narrowed = match narrowed {
                Ok(_) => true,
                Err(error) => {
                    assert!(lost.contains(&error.kind()), "{error}");
                    false
                }
            };
            // A version for each commit that went through, and none for those that did not.
            assert_eq!(old.version(), if was_narrowed { 3 } else { 2 });
            if *how != 2 {
                assert_eq!(new.record().scopes(), old.scopes());
            }
            assert_eq!(old.revocation().is_none(), *how == 0);
            let lineage = block_on(ring.list(&ListQuery::new().lineage(id))).unwrap();
            assert_eq!(lineage.len(), 2, "the losers left nothing");
        }
    }
}

#[test]
fn invariant_6_a_subject_never_has_more_keys_than_the_ring_allows() {
    const LIMIT: usize = 2;
    const ISSUERS: usize = 3;
    const EACH: usize = 60;
    for store in Steps::both() {
        let ring = KeyRing::builder("acme")
            .keys_per_subject(LIMIT)
            .build(store)
            .unwrap();
        let (issued, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let done = Done::default();
        let counted =
            |record: &KeyRecord| record.revocation().is_none() && record.retire_at().is_none();
        let held = || {
            let records = block_on(ring.list(&ListQuery::new().subject("alice"))).unwrap();
            records.iter().filter(|record| counted(record)).count()
        };
        thread::scope(|threads| {
            let ending = done.when_dropped();
            let issuers: Vec<_> = (0..ISSUERS)
                .map(|issuer| {
                    let (ring, issued, refused) = (&ring, &issued, &refused);
                    threads.spawn(move || {
                        for turn in 0..EACH {
                            match block_on(ring.issue(grant())) {
                                Ok(key) => {
                                    issued.fetch_add(1, Ordering::Relaxed);
                                    let id = key.record().id();
                                    let id = if (issuer + turn) % 2 == 0 {
                                        replace(ring, id, turn % 3).unwrap().record().id()
                                    } else {
                                        id
                                    };
                                    let reason = RevocationReason::CessationOfOperation;
                                    block_on(ring.revoke(id, reason)).unwrap();
                                }
                                Err(error) => {
                                    assert_eq!(
                                        error.kind(),
                                        ErrorKind::TooManyKeys { limit: LIMIT }
                                    );
                                    refused.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    })
                })
                .collect();
            threads.spawn(|| {
                while done.is_not_yet() {
                    assert!(held() <= LIMIT);
                    thread::yield_now();
                }
            });
            for issuer in issuers {
                issuer.join().unwrap();
            }
            drop(ending);
        });
        assert_eq!(held(), 0);
        assert!(issued.load(Ordering::Relaxed) >= LIMIT);
        assert_eq!(
            issued.into_inner() + refused.into_inner(),
            ISSUERS * EACH,
            "every turn ended"
        );
    }
}

/// Nothing is removed meanwhile, so what was held at the end is the most that was ever held.
#[test]
fn invariant_6_racing_issues_fill_the_limit_and_no_more() {
    const LIMIT: usize = 3;
    for store in Steps::both() {
        let ring = KeyRing::builder("acme")
            .keys_per_subject(LIMIT)
            .build(store)
            .unwrap();
        for round in 0..60 {
            let subject = format!("alice{round}");
            let start = Barrier::new(6);
            let issued = thread::scope(|threads| {
                let issuers: Vec<_> = (0..6)
                    .map(|_| {
                        threads.spawn(|| {
                            start.wait();
                            block_on(ring.issue(Grant::new(&subject))).map(|_| ())
                        })
                    })
                    .collect();
                let ends = issuers.into_iter().map(|issuer| issuer.join().unwrap());
                let ends: Vec<_> = ends.collect();
                for error in ends.iter().filter_map(|end| end.as_ref().err()) {
                    assert_eq!(error.kind(), ErrorKind::TooManyKeys { limit: LIMIT });
                }
                ends.iter().filter(|end| end.is_ok()).count()
            });
            assert_eq!(issued, LIMIT);
            let records = block_on(ring.list(&ListQuery::new().subject(&subject))).unwrap();
            assert_eq!(records.len(), LIMIT);
        }
    }
}
