//! Who waits for a key to change.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Poll, Waker};

use crate::format::KeyId;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The watches of one ring. Nothing on the request path touches it.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    next: u64,
    by_key: BTreeMap<(KeyId, u64), Slot>,
}

#[derive(Default)]
struct Slot {
    /// The key has changed since the watch last looked.
    changed: bool,
    waker: Option<Waker>,
}

/// One watch; it leaves when it is dropped.
pub(crate) struct Ticket {
    watchers: Arc<Watchers>,
    place: (KeyId, u64),
}

impl Watchers {
    /// Begins to watch a key: no change that is told from now on is missed.
    pub(crate) fn enter(self: &Arc<Self>, id: KeyId) -> Ticket {
        let mut slots = self.slots();
        let place = (id, slots.next);
        slots.next += 1;
        slots.by_key.insert(place, Slot::default());
        drop(slots);
        Ticket {
            watchers: Arc::clone(self),
            place,
        }
    }

    /// Tells the watches of a key that it has changed.
    pub(crate) fn tell(&self, id: KeyId) {
        let mut slots = self.slots();
        let wakers: Vec<Waker> = slots
            .by_key
            .range_mut((id, 0)..=(id, u64::MAX))
            .filter_map(|(_, slot)| {
                slot.changed = true;
                slot.waker.take()
            })
            .collect();
        drop(slots);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits until the key changes, or until `pause` is over.
    pub(crate) async fn wait(&self, mut pause: Pin<Box<dyn Future<Output = ()> + Send>>) {
        poll_fn(|context| {
            let mut slots = self.watchers.slots();
            let slot = slots.by_key.entry(self.place).or_default();
            if std::mem::take(&mut slot.changed) {
                return Poll::Ready(());
            }
            let stale = slot.waker.replace(context.waker().clone());
            drop(slots);
            // Outside the lock: the last waker of a task may end the task, and its watches leave.
            drop(stale);
            pause.as_mut().poll(context)
        })
        .await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let left = self.watchers.slots().by_key.remove(&self.place);
        // The lock is open again, for the same reason as in `wait`.
        drop(left);
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use std::sync::Mutex;
    use std::task::{Context, Wake};

    use super::*;

    #[track_caller]
    fn id(text: &str) -> KeyId {
        text.parse().unwrap()
    }

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
        let (first, second) = (id("000000000001"), id("000000000002"));
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
        let ticket = watchers.enter(id("000000000001"));
        let holding = || {
            let other = watchers.enter(id("000000000002"));
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
