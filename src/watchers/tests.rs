use super::*;

fn id(index: u8) -> KeyId {
    format!("keykeykey{index:03}")
        .parse()
        .expect("twelve letters and digits")
}

fn for_ever() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(std::future::pending())
}

/// Whether nobody watches any more.
fn is_empty(watchers: &Watchers) -> bool {
    watchers.slots().by_key.is_empty()
}

#[cfg(not(shuttle))]
mod with_threads {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// More turns than any thread needs before it hears what it was told.
    const PATIENCE: usize = 50_000_000;

    /// Each round waits for the round to be told: a lost wake-up is heard of by nobody.
    #[test]
    fn every_watch_hears_of_every_round() {
        const ROUNDS: usize = 2_000;
        const WATCHERS: usize = 3;
        let watchers = Arc::new(Watchers::default());
        let round = Arc::new(AtomicUsize::new(0));
        let heard: Arc<[AtomicUsize; WATCHERS]> = Arc::default();
        // Not in a scope, which would wait for the thread that waits for ever.
        let waits: Vec<_> = (0..WATCHERS)
            .map(|number| {
                let ticket = watchers.enter(id(1));
                let (round, heard) = (Arc::clone(&round), Arc::clone(&heard));
                thread::spawn(move || {
                    let heard = &heard[number];
                    tokio::runtime::Builder::new_current_thread()
                        .build()
                        .expect("a runtime")
                        .block_on(async {
                            while heard.load(Ordering::Relaxed) < ROUNDS {
                                ticket.wait(for_ever()).await;
                                heard.store(round.load(Ordering::Acquire), Ordering::Release);
                            }
                        });
                })
            })
            .collect();
        for next in 1..=ROUNDS {
            round.store(next, Ordering::Release);
            // Watches that come and go beside the others, and one of another key.
            let (passing, other) = (watchers.enter(id(1)), watchers.enter(id(2)));
            watchers.tell(id(1));
            drop((passing, other));
            await_that(|| {
                heard
                    .iter()
                    .all(|heard| heard.load(Ordering::Acquire) >= next)
            });
        }
        for wait in waits {
            wait.join().expect("no thread panics");
        }
        assert!(is_empty(&watchers));
    }

    fn await_that(holds: impl Fn() -> bool) {
        for _ in 0..PATIENCE {
            if holds() {
                return;
            }
            thread::yield_now();
        }
        panic!("a wake-up is lost");
    }
}

#[cfg(shuttle)]
mod shuttle_ {
    use std::task::{Context, Wake};

    use shuttle::future::block_on;
    use shuttle::sync::atomic::{AtomicU64, Ordering};
    use shuttle::thread;

    use super::*;

    const ITERATIONS: usize = 5_000;

    fn check(test: fn()) {
        shuttle::check_random(test, ITERATIONS);
        shuttle::check_pct(test, ITERATIONS, 3);
    }

    /// As `KeyRing::watch` does: look, and wait, until it is over. A wake-up that is lost leaves
    /// the schedule without a thread that can run, and shuttle reports it.
    fn wait_until(ticket: &Ticket, version: &AtomicU64, over: u64) {
        block_on(async {
            while version.load(Ordering::SeqCst) < over {
                ticket.wait(for_ever()).await;
            }
        });
    }

    #[test]
    fn no_change_is_missed_after_enter() {
        check(|| {
            let watchers = Arc::new(Watchers::default());
            let version = Arc::new(AtomicU64::new(0));
            let waits: Vec<_> = (0..2)
                .map(|_| {
                    let (watchers, version) = (Arc::clone(&watchers), Arc::clone(&version));
                    thread::spawn(move || {
                        let ticket = watchers.enter(id(1));
                        wait_until(&ticket, &version, 2);
                    })
                })
                .collect();
            let tellers: Vec<_> = (0..2)
                .map(|_| {
                    let (watchers, version) = (Arc::clone(&watchers), Arc::clone(&version));
                    thread::spawn(move || {
                        version.fetch_add(1, Ordering::SeqCst);
                        watchers.tell(id(1));
                    })
                })
                .collect();
            for thread in waits.into_iter().chain(tellers) {
                thread.join().expect("no thread panics");
            }
            assert!(is_empty(&watchers));
        });
    }

    #[test]
    fn one_leaves_while_the_others_are_told() {
        check(|| {
            let watchers = Arc::new(Watchers::default());
            let version = Arc::new(AtomicU64::new(0));
            let (stays, leaves) = (watchers.enter(id(1)), watchers.enter(id(1)));
            let leaving = thread::spawn(move || {
                // Its waker is in the slot when it leaves.
                let mut wait = std::pin::pin!(leaves.wait(for_ever()));
                let mut context = Context::from_waker(Waker::noop());
                let _ = wait.as_mut().poll(&mut context);
            });
            let telling = {
                let (watchers, version) = (Arc::clone(&watchers), Arc::clone(&version));
                thread::spawn(move || {
                    version.store(1, Ordering::SeqCst);
                    watchers.tell(id(1));
                    watchers.tell(id(2));
                })
            };
            wait_until(&stays, &version, 1);
            leaving.join().expect("no thread panics");
            telling.join().expect("no thread panics");
            drop(stays);
            assert!(is_empty(&watchers));
        });
    }

    #[test]
    fn only_the_watches_of_the_key_wake() {
        check(|| {
            let watchers = Arc::new(Watchers::default());
            let ticket = watchers.enter(id(2));
            let told = {
                let watchers = Arc::clone(&watchers);
                thread::spawn(move || watchers.tell(id(1)))
            };
            let wakes = std::sync::Arc::new(Wakes::default());
            let waker = Waker::from(std::sync::Arc::clone(&wakes));
            let mut wait = std::pin::pin!(ticket.wait(for_ever()));
            let mut context = Context::from_waker(&waker);
            assert!(wait.as_mut().poll(&mut context).is_pending());
            told.join().expect("no thread panics");
            assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
            assert!(wait.as_mut().poll(&mut context).is_pending());
            watchers.tell(id(2));
            assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
            assert!(wait.as_mut().poll(&mut context).is_ready());
        });
    }

    /// Counts how often its waker wakes.
    #[derive(Default)]
    struct Wakes(AtomicU64);

    impl Wake for Wakes {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The waker of a task that watches too and that nothing else holds.
    struct Task(#[allow(dead_code, reason = "held, to be dropped")] Ticket);

    impl Wake for Task {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    #[test]
    fn a_watch_that_leaves_with_the_waker_of_another_finds_the_lock_free() {
        check(|| {
            let watchers = Arc::new(Watchers::default());
            let ticket = watchers.enter(id(1));
            let telling = {
                let watchers = Arc::clone(&watchers);
                thread::spawn(move || watchers.tell(id(1)))
            };
            let poll_with = |waker: Waker| {
                let mut wait = std::pin::pin!(ticket.wait(for_ever()));
                let mut context = Context::from_waker(&waker);
                let _ = wait.as_mut().poll(&mut context);
            };
            // Each poll puts a waker in the place of the one before, the drop ends the last.
            for _ in 0..2 {
                let task = Task(watchers.enter(id(2)));
                poll_with(Waker::from(std::sync::Arc::new(task)));
            }
            drop(ticket);
            telling.join().expect("no thread panics");
            assert!(is_empty(&watchers));
        });
    }
}

#[cfg(not(shuttle))]
mod with_wakers {
    use std::sync::Mutex;
    use std::task::{Context, Wake};

    use super::*;

    /// A waker that holds on to something.
    struct Holding(#[expect(dead_code, reason = "it is only dropped")] Mutex<Option<Ticket>>);

    impl Wake for Holding {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    fn poll(ticket: &Ticket, waker: &Waker) -> Poll<()> {
        let wait = std::pin::pin!(ticket.wait(Box::pin(std::future::pending())));
        wait.poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn a_watch_that_is_dropped_leaves() {
        let watchers = Arc::new(Watchers::default());
        let (first, second) = (id(1), id(2));
        let tickets = [first, first, second].map(|id| watchers.enter(id));
        assert!(poll(&tickets[0], Waker::noop()).is_pending());
        assert_eq!(watchers.slots().by_key.len(), 3);
        watchers.tell(first);
        assert_eq!(watchers.slots().by_key.len(), 3);
        for (index, told) in [true, true, false].into_iter().enumerate() {
            let polled = poll(&tickets[index], Waker::noop());
            assert_eq!(polled.is_ready(), told, "{index}");
            // Told once, it waits again.
            assert!(poll(&tickets[index], Waker::noop()).is_pending());
        }
        drop(tickets);
        assert_eq!(watchers.slots().by_key.len(), 0);
        watchers.tell(first);
        assert_eq!(watchers.slots().by_key.len(), 0);
    }

    #[test]
    fn a_waker_that_ends_another_watch_blocks_nobody() {
        let watchers = Arc::new(Watchers::default());
        let ticket = watchers.enter(id(1));
        let holding = || {
            let other = watchers.enter(id(2));
            Waker::from(std::sync::Arc::new(Holding(Mutex::new(Some(other)))))
        };
        // The second poll drops the first waker, and the end of the watch the second.
        for _ in 0..2 {
            assert!(poll(&ticket, &holding()).is_pending());
        }
        assert_eq!(watchers.slots().by_key.len(), 2);
        drop(ticket);
        assert_eq!(watchers.slots().by_key.len(), 0);
    }
}
