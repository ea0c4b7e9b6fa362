//! Threads that change one lineage or one subject while others verify its keys, in bounded loops.

mod gate;
mod promotions;
mod revocations;
mod steps;
mod swaps;
mod verdicts;
mod winners;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tower_api_key::{InvalidCause, KeyRing, VerifyErrorKind};

pub(crate) use steps::Steps;

/// More iterations than any thread needs before it sees another thread's change.
const PATIENCE: usize = 50_000_000;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

fn ring_over(store: &Steps) -> KeyRing {
    KeyRing::builder("acme")
        .lookup_timeout(Duration::from_mins(1))
        .build(store.clone())
        .unwrap()
}

/// The verdict of a ring on a key: its subject, or the kind of the error.
fn verdict(ring: &KeyRing, key: &str) -> Result<String, VerifyErrorKind> {
    block_on(ring.verify(key.as_bytes()))
        .map(|key| key.subject().to_string())
        .map_err(|error| error.kind())
}

fn invalid<T>(cause: InvalidCause) -> Result<T, VerifyErrorKind> {
    Err(VerifyErrorKind::Invalid(cause))
}

/// Refused because it has ended: it was replaced, or its grace period was cut short.
#[track_caller]
fn assert_is_dead(ring: &KeyRing, key: &str) {
    let verdict = verdict(ring, key);
    let causes = [InvalidCause::Revoked, InvalidCause::Replaced];
    assert!(causes.map(invalid).contains(&verdict), "{verdict:?}");
}

/// Spins until there is something to see, which another thread is about to provide.
#[track_caller]
fn await_some<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE {
        if let Some(seen) = look() {
            return seen;
        }
        thread::yield_now();
    }
    panic!("what another thread does was never seen");
}

/// Ends the loops of the other threads, even if this one fails.
#[derive(Default)]
struct Done(AtomicBool);

impl Done {
    fn is_not_yet(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }

    fn when_dropped(&self) -> impl Drop + '_ {
        struct Guard<'a>(&'a Done);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, Ordering::Release);
            }
        }
        Guard(self)
    }
}
