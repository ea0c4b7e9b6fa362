//! Who waits for a key to change.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::ops::RangeBounds;
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
        self.tell_in((id, 0)..=(id, u64::MAX));
    }

    /// Tells every watch that its key may have changed.
    pub(crate) fn tell_all(&self) {
        self.tell_in(..);
    }

    fn tell_in(&self, places: impl RangeBounds<(KeyId, u64)>) {
        let mut slots = self.slots();
        let wakers: Vec<Waker> = slots
            .by_key
            .range_mut(places)
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
            let waker = context.waker().clone();
            let mut slots = self.watchers.slots();
            let slot = slots.by_key.entry(self.place).or_default();
            if std::mem::take(&mut slot.changed) {
                return Poll::Ready(());
            }
            let earlier = slot.waker.replace(waker);
            drop(slots);
            // A waker may hold the last of a task with a watch of its own, which then leaves.
            drop(earlier);
            pause.as_mut().poll(context)
        })
        .await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let slot = self.watchers.slots().by_key.remove(&self.place);
        // Only here, where the lock is free again: see `wait`.
        drop(slot);
    }
}

#[cfg(test)]
mod tests;
