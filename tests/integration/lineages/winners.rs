//! One winner for each version, and limits that hold in a race.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use tower_api_key::store::ListQuery;
use tower_api_key::{Error, ErrorKind, Grant, Issued, KeyId, KeyRing, RevocationReason, ScopeSet};

use super::{Done, Steps, block_on, ring_over};

const GRACE: Duration = Duration::from_mins(10);

fn grant() -> Grant {
    Grant::new("alice").scopes(["read", "write"])
}

fn replace(ring: &KeyRing, id: KeyId, how: usize) -> Result<Issued, Error> {
    block_on(async {
        match how {
            0 => ring.rotate(id, GRACE).await,
            1 => ring.rotate_now(id).await,
            _ => ring.regrant(id, Grant::new("alice")).await,
        }
    })
}

#[test]
fn invariant_6_of_several_replacements_of_a_key_one_wins() {
    for store in Steps::all() {
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
            // One version for each successful commit, and none for the others.
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

/// One key less than the limit remains, so that exactly one of the concurrent issues succeeds.
#[test]
fn invariant_6_a_subject_never_has_more_keys_than_the_ring_allows() {
    const LIMIT: usize = 2;
    const ISSUERS: usize = 3;
    const TURNS: usize = 60;
    for store in Steps::all() {
        let ring = KeyRing::builder("acme")
            .max_keys_per_subject(LIMIT)
            .build(store)
            .unwrap();
        block_on(ring.issue(grant())).unwrap();
        let done = Done::default();
        let held = || {
            let records = block_on(ring.list(&ListQuery::new().subject("alice"))).unwrap();
            let counted = records
                .iter()
                .filter(|record| record.revocation().is_none());
            let lineages: BTreeSet<_> = counted.map(|record| record.lineage()).collect();
            lineages.len()
        };
        let (begin, end) = (Barrier::new(ISSUERS), Barrier::new(ISSUERS));
        // Checked when all are done, because a thread that panics leaves the others waiting.
        let issue = |turn: usize| {
            let result = block_on(ring.issue(grant())).and_then(|key| {
                // In whatever way it is replaced, it counts once until its lineage is dead.
                replace(&ring, key.record().id(), turn % 3)
            });
            end.wait();
            let lineage = result?.record().lineage();
            let reason = RevocationReason::CessationOfOperation;
            block_on(ring.revoke_lineage(lineage, reason))
        };
        thread::scope(|threads| {
            let ending = done.when_dropped();
            let issuers: Vec<_> = (0..ISSUERS)
                .map(|_| {
                    threads.spawn(|| {
                        let turns = (0..TURNS).map(|turn| {
                            begin.wait();
                            issue(turn).map_err(|error| error.kind())
                        });
                        turns.collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.spawn(|| {
                while done.is_not_yet() {
                    assert!(held() <= LIMIT);
                    thread::yield_now();
                }
            });
            let turns = issuers.into_iter().map(|issuer| issuer.join().unwrap());
            let turns: Vec<_> = turns.collect();
            drop(ending);
            for turn in 0..TURNS {
                let mut ends: Vec<_> = turns.iter().map(|issuer| issuer[turn]).collect();
                ends.sort_by_key(Result::is_err);
                let refused = Err(ErrorKind::TooManyKeys { limit: LIMIT });
                // A rotation leaves a key in its grace period next to the new one.
                let ended = if turn % 3 == 0 { 2 } else { 1 };
                assert_eq!(ends, [Ok(ended), refused, refused]);
            }
        });
        assert_eq!(held(), 1);
    }
}

/// No key is removed meanwhile, so the number at the end is the maximum.
#[test]
fn invariant_6_racing_issues_fill_the_limit_and_no_more() {
    const LIMIT: usize = 3;
    for store in Steps::all() {
        let ring = KeyRing::builder("acme")
            .max_keys_per_subject(LIMIT)
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
