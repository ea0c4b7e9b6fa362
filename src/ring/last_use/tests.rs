use super::*;

fn id(index: u8) -> KeyId {
    format!("keykeykey{index:03}")
        .parse()
        .expect("twelve letters and digits")
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

#[cfg(not(shuttle))]
mod with_threads {
    use std::collections::BTreeMap;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::access::realm::Realm;
    use crate::access::subject::Subject;
    use crate::key::digest::KeyDigest;
    use crate::record::KeyRecordParts;

    #[test]
    fn the_latest_use_is_kept_until_it_is_taken() {
        let uses = Uses::default();
        for seconds in [5, 9, 7] {
            uses.mark(id(1), at(seconds));
        }
        uses.mark(id(2), at(3));
        let mut taken = uses.take();
        taken.sort_unstable();
        assert_eq!(taken, [(id(1), at(9)), (id(2), at(3))]);
        assert_eq!(uses.take(), []);
        uses.mark(id(1), at(2));
        assert_eq!(uses.take(), [(id(1), at(2))]);
    }

    fn record(index: u8) -> KeyRecord {
        let realm = Realm::new("acme").unwrap();
        let subject = Subject::new("alice").unwrap();
        let digest = KeyDigest::from_bytes([index; 32]);
        KeyRecordParts::new(id(index), realm, digest, subject, at(9)).into()
    }

    #[test]
    fn a_record_in_memory_is_marked_once_a_second() {
        let (uses, record) = (Uses::default(), record(1));
        uses.note(&record, at(5));
        assert_eq!(uses.take(), [(id(1), at(5))]);
        uses.note(&record, at(5));
        assert_eq!(uses.take(), [], "the store has been sent this second");
        uses.note(&record, at(6));
        uses.note(&record, at(6));
        assert_eq!(uses.take(), [(id(1), at(6))]);
        // The clock was set back.
        uses.note(&record, at(3));
        assert_eq!(uses.take(), [(id(1), at(3))]);
    }

    #[test]
    fn each_ring_notes_the_uses_that_it_serves() {
        let (first, second) = (Uses::default(), Uses::default());
        let record = record(1);
        for _ in 0..2 {
            first.note(&record, at(5));
            second.note(&record, at(5));
        }
        assert_eq!(first.take(), [(id(1), at(5))]);
        assert_eq!(second.take(), [(id(1), at(5))]);
    }

    #[test]
    fn a_use_at_the_end_of_time_is_kept_as_one_second_earlier() {
        let uses = Uses::default();
        uses.mark(id(1), Timestamp::MAX);
        assert_eq!(uses.take(), [(id(1), at(u64::MAX - 1))]);
    }

    /// Each thread's last mark is its highest: the last take of all must include it.
    #[test]
    fn no_mark_is_lost_while_uses_are_taken() {
        const MARKS: u64 = 50_000;
        const MARKERS: usize = 3;
        let uses = Uses::default();
        let done = AtomicBool::new(false);
        // However the threads are scheduled, one take is between the first marks and the others.
        let turn = Barrier::new(MARKERS + 1);
        let mut latest = BTreeMap::new();
        thread::scope(|threads| {
            let taker = threads.spawn(|| {
                let mut latest = BTreeMap::new();
                turn.wait();
                take_into(&mut latest, &uses);
                turn.wait();
                assert_eq!(latest.len(), 1, "the key of the first marks");
                while !done.load(Ordering::Acquire) {
                    take_into(&mut latest, &uses);
                }
                latest
            });
            let markers: Vec<_> = (0..MARKERS as u64)
                .map(|thread| {
                    let (uses, turn) = (&uses, &turn);
                    threads.spawn(move || {
                        for mark in 0..MARKS {
                            if mark == 1 {
                                turn.wait();
                                turn.wait();
                            }
                            uses.mark(id(u8::from(mark % 2 == 0)), at(mark * 3 + thread));
                        }
                    })
                })
                .collect();
            for marker in markers {
                marker.join().expect("marking does not panic");
            }
            done.store(true, Ordering::Release);
            latest = taker.join().expect("taking does not panic");
        });
        take_into(&mut latest, &uses);
        let last = |mark: u64| at(mark * 3 + 2);
        let expected = BTreeMap::from([(id(1), last(MARKS - 2)), (id(0), last(MARKS - 1))]);
        assert_eq!(latest, expected);
    }

    fn take_into(latest: &mut BTreeMap<KeyId, Timestamp>, uses: &Uses) {
        for (id, at) in uses.take() {
            let known = latest.entry(id).or_insert(at);
            *known = at.max(*known);
        }
    }
}

/// The map is a stand-in here; the protocol between a mark and a take is the crate's.
#[cfg(shuttle)]
mod shuttle_ {
    use std::collections::BTreeMap;

    use shuttle::thread;

    use super::*;
    use crate::support::sync::Arc;

    const ITERATIONS: usize = 10_000;

    #[test]
    fn no_mark_is_lost_between_marks_and_takes() {
        shuttle::check_random(marks_beside_takes, ITERATIONS);
        shuttle::check_pct(marks_beside_takes, ITERATIONS, 3);
    }

    fn marks_beside_takes() {
        let uses = Arc::new(Uses::default());
        let markers: Vec<_> = [[2, 5], [4, 3]]
            .into_iter()
            .map(|marks| {
                let uses = Arc::clone(&uses);
                thread::spawn(move || marks.map(|mark| uses.mark(id(1), at(mark))))
            })
            .collect();
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let uses = Arc::clone(&uses);
                thread::spawn(move || uses.take())
            })
            .collect();
        for marker in markers {
            marker.join().expect("marking does not panic");
        }
        let mut latest = BTreeMap::new();
        let mut taken: Vec<_> = takers
            .into_iter()
            .flat_map(|taker| taker.join().expect("taking does not panic"))
            .collect();
        taken.extend(uses.take());
        for &(id, at) in &taken {
            let known = latest.entry(id).or_insert(at);
            *known = at.max(*known);
        }
        assert_eq!(latest, BTreeMap::from([(id(1), at(5))]), "{taken:?}");
        // No use is reported that did not happen.
        assert!(taken.iter().all(|(_, at)| (2..=5).contains(&at.as_unix())));
        assert_eq!(uses.take(), []);
    }

    #[test]
    fn a_later_mark_is_never_lowered() {
        shuttle::check_random(markers_beside_each_other, ITERATIONS);
        shuttle::check_pct(markers_beside_each_other, ITERATIONS, 3);
    }

    fn markers_beside_each_other() {
        let uses = Arc::new(Uses::default());
        let markers: Vec<_> = [7, 9, 8]
            .into_iter()
            .map(|mark| {
                let uses = Arc::clone(&uses);
                thread::spawn(move || {
                    uses.mark(id(1), at(mark));
                    let known = uses.marks.get(&Used(id(1))).expect("nobody takes");
                    assert!(known.load(Ordering::SeqCst) >= mark);
                })
            })
            .collect();
        for marker in markers {
            marker.join().expect("marking does not panic");
        }
        assert_eq!(uses.take(), [(id(1), at(9))]);
    }
}
