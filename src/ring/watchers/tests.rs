use std::future::{Future, poll_fn};
use std::pin::Pin;

use super::*;

fn id(index: u8) -> KeyId {
    format!("keykeykey{index:03}")
        .parse()
        .expect("twelve letters and digits")
}

/// Whether no watch is left, and nothing is kept for past ones.
fn is_empty(watchers: &Watchers) -> bool {
    let rounds = watchers.rounds.lock().expect("no thread panics");
    watchers.slots().keys.is_empty() && watchers.slots().asked.is_empty() && rounds.is_none()
}

/// Rounds without a store and without an interval: they look at the requested keys, whose version `read`
/// returns, and end the watches of a key once it is `over`.
async fn look(watchers: Arc<Watchers>, read: impl Fn(KeyId) -> u64, over: u64) {
    loop {
        let asked = poll_fn(|_| match watchers.take_asked() {
            asked if asked.is_empty() => Poll::Pending,
            asked => Poll::Ready(asked),
        })
        .await;
        let looks: Vec<_> = asked
            .into_iter()
            .map(|id| match read(id) {
                version if version < over => (id, LIVE),
                _ => (id, Seen::Ended(Ended::Over(KeyState::Revoked))),
            })
            .collect();
        watchers.publish(looks);
    }
}

const LIVE: Seen = Seen::Live {
    digest: KeyDigest::from_bytes([7; 32]),
    until: Timestamp::MAX,
};

/// A watch over such rounds.
struct Watching<R> {
    ticket: Ticket,
    read: R,
    over: u64,
}

impl<R: Fn(KeyId) -> u64 + Clone + Send + Unpin + 'static> Future for Watching<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (watchers, read) = (Arc::clone(&self.ticket.watchers), self.read.clone());
        let over = self.over;
        let polled = self
            .ticket
            .poll(context, || Box::pin(look(watchers, read, over)));
        polled.map(|ended| assert!(matches!(ended, Ended::Over(KeyState::Revoked))))
    }
}

#[cfg(not(shuttle))]
mod with_threads {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// More turns than any thread needs before it sees a wake-up.
    const PATIENCE: usize = 50_000_000;
    const ROUNDS: u64 = 2_000;

    /// The watches of each round wait for its announcement: a lost wake-up would leave them waiting.
    #[test]
    fn every_watch_hears_of_every_round() {
        const WATCHERS: usize = 3;
        let watchers = Arc::new(Watchers::default());
        let version = Arc::new(AtomicU64::new(0));
        let (entered, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Not in a scope, which would wait for the thread that waits for ever.
        let waits: Vec<_> = (0..WATCHERS)
            .map(|_| {
                let (watchers, version) = (Arc::clone(&watchers), Arc::clone(&version));
                let (entered, heard) = (Arc::clone(&entered), Arc::clone(&heard));
                thread::spawn(move || {
                    for round in 1..=ROUNDS {
                        let read = Arc::clone(&version);
                        let watching = Watching {
                            ticket: watchers.enter(id(1)),
                            read: move |_| read.load(Ordering::Acquire),
                            over: round,
                        };
                        entered.fetch_add(1, Ordering::AcqRel);
                        tokio::runtime::Builder::new_current_thread()
                            .build()
                            .expect("a runtime")
                            .block_on(watching);
                        heard.fetch_add(1, Ordering::AcqRel);
                        let all = WATCHERS * usize::try_from(round).expect("few");
                        await_that(|| heard.load(Ordering::Acquire) >= all);
                    }
                })
            })
            .collect();
        for round in 1..=ROUNDS {
            let all = WATCHERS * usize::try_from(round).expect("few");
            await_that(|| entered.load(Ordering::Acquire) >= all);
            version.store(round, Ordering::Release);
            // Watches that come and go next to the others, and one of another key.
            let (passing, other) = (watchers.enter(id(1)), watchers.enter(id(2)));
            watchers.tell(id(1));
            drop((passing, other));
            await_that(|| heard.load(Ordering::Acquire) >= all);
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
    use shuttle::future::block_on;
    use shuttle::sync::atomic::{AtomicU64, Ordering};
    use shuttle::thread;

    use super::*;

    const ITERATIONS: usize = 5_000;

    /// A wake-up that is lost leaves the schedule without a thread that can run, and shuttle
    /// reports it.
    fn check(test: fn()) {
        shuttle::check_random(test, ITERATIONS);
        shuttle::check_pct(test, ITERATIONS, 3);
    }

    fn watching(
        ticket: Ticket,
        version: &Arc<AtomicU64>,
        over: u64,
    ) -> Watching<impl Fn(KeyId) -> u64 + Clone + Send + Unpin + 'static> {
        let version = Arc::clone(version);
        Watching {
            ticket,
            read: move |_| version.load(Ordering::SeqCst),
            over,
        }
    }

    fn tell(watchers: &Arc<Watchers>, version: &Arc<AtomicU64>) -> thread::JoinHandle<()> {
        let (watchers, version) = (Arc::clone(watchers), Arc::clone(version));
        thread::spawn(move || {
            version.fetch_add(1, Ordering::SeqCst);
            watchers.tell(id(1));
        })
    }

    #[test]
    fn no_change_is_missed_after_enter() {
        check(|| {
            let watchers = Arc::new(Watchers::default());
            let version = Arc::new(AtomicU64::new(0));
            let waits = (0..2).map(|_| {
                let (watchers, version) = (Arc::clone(&watchers), Arc::clone(&version));
                thread::spawn(move || block_on(watching(watchers.enter(id(1)), &version, 2)))
            });
            let waits: Vec<_> = waits.collect();
            let tellers: Vec<_> = (0..2).map(|_| tell(&watchers, &version)).collect();
            for thread in waits.into_iter().chain(tellers) {
                thread.join().expect("no thread panics");
            }
            assert!(is_empty(&watchers));
        });
    }

    /// The one that polled the rounds leaves, and the other goes on with them.
    #[test]
    fn one_leaves_while_the_others_are_told() {
        check(|| {
            let watchers = Arc::new(Watchers::default());
            let version = Arc::new(AtomicU64::new(0));
            let (stays, leaves) = (watchers.enter(id(1)), watchers.enter(id(1)));
            let stays = watching(stays, &version, 1);
            let mut leaves = watching(leaves, &version, 1);
            let leaving = thread::spawn(move || {
                let mut context = Context::from_waker(Waker::noop());
                let _ = Pin::new(&mut leaves).poll(&mut context);
            });
            let staying = thread::spawn(move || block_on(stays));
            let telling = tell(&watchers, &version);
            for thread in [leaving, staying, telling] {
                thread.join().expect("no thread panics");
            }
            assert!(is_empty(&watchers));
        });
    }

    /// A watch of another key that is held and not polled holds up no other watch, even if it began the
    /// rounds.
    #[test]
    fn one_that_is_not_polled_holds_up_no_other() {
        check(|| {
            let watchers = Arc::new(Watchers::default());
            let version = Arc::new(AtomicU64::new(0));
            // It makes the rounds, by which the other key ends too.
            let read = Arc::clone(&version);
            let mut held = Watching {
                ticket: watchers.enter(id(2)),
                read: move |key| {
                    if key == id(2) {
                        0
                    } else {
                        read.load(Ordering::SeqCst)
                    }
                },
                over: 1,
            };
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut held).poll(&mut context).is_pending());
            let waiting = watching(watchers.enter(id(1)), &version, 1);
            let waiting = thread::spawn(move || block_on(waiting));
            let telling = tell(&watchers, &version);
            for thread in [waiting, telling] {
                thread.join().expect("no thread panics");
            }
            drop(held);
            assert!(is_empty(&watchers));
        });
    }

    /// The waker of a task that nothing else holds, and that holds a watch.
    struct Task(#[allow(dead_code, reason = "held, to be dropped")] Ticket);

    impl Wake for Task {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    #[test]
    fn a_waker_that_holds_the_last_of_a_watch_finds_the_lock_free() {
        shuttle::check_random(
            || {
                let watchers = Arc::new(Watchers::default());
                let version = Arc::new(AtomicU64::new(0));
                let mut watch = watching(watchers.enter(id(1)), &version, 1);
                let task = std::sync::Arc::new(Task(watchers.enter(id(1))));
                let waker = Waker::from(task);
                let mut context = Context::from_waker(&waker);
                assert!(Pin::new(&mut watch).poll(&mut context).is_pending());
                drop(waker);
                // It drops the waker of the poll before, and with it the other watch.
                let mut context = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut watch).poll(&mut context).is_pending());
                drop(watch);
                assert!(is_empty(&watchers));
            },
            1,
        );
    }
}
