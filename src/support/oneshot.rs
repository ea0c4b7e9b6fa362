//! One value from a thread to a future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::support::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The side that gives the value. Dropped without one, it lets the receiver know.
pub(crate) struct Sender<T>(Arc<Mutex<State<T>>>);

/// Resolves to the value, or to `None` if none will come.
pub(crate) struct Receiver<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// Whether the sender or the receiver is gone.
    closed: bool,
}

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = Arc::new(Mutex::new(State {
        value: None,
        waker: None,
        closed: false,
    }));
    (Sender(Arc::clone(&state)), Receiver(state))
}

impl<T> Sender<T> {
    /// Whether no one waits for the value any more.
    #[cfg(feature = "replica")]
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }

    pub(crate) fn send(self, value: T) {
        lock(&self.0).value = Some(value);
        // The drop wakes the receiver.
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.closed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        if let Some(value) = state.value.take() {
            return Poll::Ready(Some(value));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let waker = context.waker();
        let earlier = match &state.waker {
            Some(same) if same.will_wake(waker) => None,
            _ => state.waker.replace(waker.clone()),
        };
        // A waker may hold the last of a task, and with it everything that the task holds.
        drop(state);
        drop(earlier);
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.closed = true;
        let waker = state.waker.take();
        let value = state.value.take();
        // Both may run code of others, which must find the lock free.
        drop(state);
        drop((waker, value));
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, shuttle))]
mod shuttle_ {
    use std::task::Wake;

    use shuttle::future::block_on;
    use shuttle::thread;

    use super::*;

    const ITERATIONS: usize = 5_000;

    /// A wake-up that is lost leaves the schedule without a thread that can run, and shuttle
    /// reports it.
    fn check(test: fn()) {
        shuttle::check_random(test, ITERATIONS);
        shuttle::check_pct(test, ITERATIONS, 3);
    }

    fn poll<T>(receiver: &mut Receiver<T>) -> Poll<Option<T>> {
        Pin::new(receiver).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_value_that_is_sent_arrives() {
        check(|| {
            let (sender, receiver) = channel();
            let sending = thread::spawn(move || sender.send(7));
            assert_eq!(block_on(receiver), Some(7));
            sending.join().expect("no thread panics");
        });
    }

    #[test]
    fn a_sender_that_is_dropped_is_heard_of() {
        check(|| {
            let (sender, receiver) = channel::<u8>();
            let dropping = thread::spawn(move || drop(sender));
            assert_eq!(block_on(receiver), None);
            dropping.join().expect("no thread panics");
        });
    }

    /// The receiver goes from one task to another, and the last of them is the one that is woken.
    #[test]
    fn a_value_arrives_after_another_task_has_asked() {
        check(|| {
            let (sender, mut receiver) = channel();
            let sending = thread::spawn(move || sender.send(7));
            let value = match poll(&mut receiver) {
                Poll::Ready(value) => value,
                Poll::Pending => block_on(receiver),
            };
            assert_eq!(value, Some(7));
            sending.join().expect("no thread panics");
        });
    }

    /// The waker of a task that nothing else holds, and that holds the sender.
    struct Task(#[allow(dead_code, reason = "held, to be dropped")] Sender<u8>);

    impl Wake for Task {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    #[test]
    fn a_waker_that_holds_the_sender_finds_the_lock_free() {
        for polls_again in [true, false] {
            shuttle::check_random(
                move || {
                    let (sender, mut receiver) = channel();
                    let waker = Waker::from(std::sync::Arc::new(Task(sender)));
                    let mut context = Context::from_waker(&waker);
                    assert!(Pin::new(&mut receiver).poll(&mut context).is_pending());
                    drop(waker);
                    // A poll drops the waker of the one before, the end of the receiver the last.
                    if polls_again {
                        assert_eq!(poll(&mut receiver), Poll::Pending);
                        assert_eq!(poll(&mut receiver), Poll::Ready(None));
                    }
                    drop(receiver);
                },
                1,
            );
        }
    }
}
