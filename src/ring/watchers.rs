//! Who watches which key, and the one future that looks after all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::RangeBounds;
use std::sync::Weak;
use std::task::{Context, Poll, Wake, Waker};

use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::KeyState;
use crate::store::{BoxFuture, ChangeListener, StoreError};
use crate::support::caught::caught;
use crate::support::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::time::Timestamp;

/// The watches of one ring. Nothing on the request path touches it.
///
/// There is no thread: the rounds, which read the records of all the watched keys, are polled by
/// any watch that is polled. They wake every watch, so that no watch that is held and not polled,
/// such as that of a connection whose peer reads nothing, holds up the others.
#[derive(Default)]
pub(crate) struct Watchers {
    watched: std::sync::Arc<Watched>,
    /// Only while there is a watch: they hold the ring.
    rounds: Mutex<Option<BoxFuture<'static, ()>>>,
}

#[derive(Default)]
struct Watched(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    next: u64,
    keys: BTreeMap<KeyId, Key>,
    /// Keys to look at before the round is due: they changed, or nothing was seen of them yet.
    asked: BTreeSet<KeyId>,
    /// The rounds have to be polled.
    woken: bool,
}

#[derive(Default)]
struct Key {
    watches: BTreeMap<u64, Slot>,
    /// The end of the record that was seen last, if it was live.
    seen_until: Option<Timestamp>,
    /// The digest of that record, by which the next look needs no database.
    digest: Option<KeyDigest>,
}

#[derive(Default)]
struct Slot {
    ended: Option<Ended>,
    waker: Option<Waker>,
}

/// The result of a look at a key.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Live { until: Timestamp, digest: KeyDigest },
    Ended(Ended),
}

/// How a watch ends.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    Over(KeyState),
    Unknown,
    /// The application refuses the owner of the key.
    OwnerRefused,
    Failed(StoreError),
}

/// One watch, which leaves when it is dropped.
pub(crate) struct Ticket {
    watchers: Arc<Watchers>,
    id: KeyId,
    number: u64,
}

impl Watchers {
    /// Begins to watch a key: no change that is announced from now on is missed.
    pub(crate) fn enter(self: &Arc<Self>, id: KeyId) -> Ticket {
        let mut slots = self.slots();
        let number = slots.next;
        slots.next += 1;
        let key = slots.keys.entry(id).or_default();
        key.watches.insert(number, Slot::default());
        if key.seen_until.is_none() {
            slots.asked.insert(id);
        }
        slots.woken = true;
        drop(slots);
        Ticket {
            watchers: Arc::clone(self),
            id,
            number,
        }
    }

    /// Has a key looked at, because it has changed.
    pub(crate) fn tell(&self, id: KeyId) {
        self.watched.changed(&[id]);
    }

    /// Tells every watch that its key may have changed.
    pub(crate) fn tell_all(&self) {
        let mut slots = self.slots();
        let wakers = slots.ask(..);
        drop(slots);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Hears of the changes that the store knows of.
    pub(crate) fn listener(&self) -> Weak<dyn ChangeListener> {
        let watched: std::sync::Arc<dyn ChangeListener> = self.watched.clone();
        std::sync::Arc::downgrade(&watched)
    }

    /// The digests of these keys, as far as a look has found them.
    pub(crate) fn digests(&self, ids: &[KeyId]) -> Vec<Option<KeyDigest>> {
        let slots = self.slots();
        let digests = ids.iter().map(|id| slots.keys.get(id)?.digest);
        digests.collect()
    }

    /// The keys to look at before the round is due.
    pub(crate) fn take_asked(&self) -> Vec<KeyId> {
        mem::take(&mut self.slots().asked).into_iter().collect()
    }

    /// All the keys whose watches go on, or those whose end has come by then.
    pub(crate) fn ids(&self, ended_by: Option<Timestamp>) -> Vec<KeyId> {
        let slots = self.slots();
        let due = slots.keys.iter().filter(|(_, key)| match ended_by {
            Some(now) => key.seen_until.is_some_and(|until| until <= now),
            None => key.watches.values().any(|slot| slot.ended.is_none()),
        });
        due.map(|(&id, _)| id).collect()
    }

    /// The next end of a watched key.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        let slots = self.slots();
        slots.keys.values().filter_map(|key| key.seen_until).min()
    }

    /// Records the looks, and ends the watches whose key is over or in doubt.
    pub(crate) fn publish(&self, looks: impl IntoIterator<Item = (KeyId, Seen)>) {
        let mut slots = self.slots();
        let mut wakers = Vec::new();
        for (id, seen) in looks {
            let Some(key) = slots.keys.get_mut(&id) else {
                continue;
            };
            match seen {
                Seen::Live { until, digest } => {
                    key.seen_until = Some(until);
                    key.digest = Some(digest);
                }
                Seen::Ended(ended) => {
                    key.end(&ended);
                    wakers.append(&mut key.wakers());
                }
            }
        }
        drop(slots);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Polls the rounds, if anything has woken them since.
    fn poll_rounds(&self, begin: impl FnOnce() -> BoxFuture<'static, ()>) {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        // The watch that held the lock may have done it.
        if !mem::take(&mut self.slots().woken) {
            return;
        }
        let waker = Waker::from(std::sync::Arc::clone(&self.watched));
        let polled = caught(|| {
            let rounds = rounds.get_or_insert_with(begin);
            rounds.as_mut().poll(&mut Context::from_waker(&waker))
        });
        if polled == Some(Poll::Pending) {
            return;
        }
        // They have no end, and catch the panics of the store.
        let broken = rounds.take();
        drop(rounds);
        caught(|| drop(broken));
        let ended = Ended::Failed(StoreError::unavailable("the clock panicked"));
        let ids = self.ids(None).into_iter();
        self.publish(ids.map(|id| (id, Seen::Ended(ended.clone()))));
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.watched.slots()
    }
}

impl Watched {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChangeListener for Watched {
    fn changed(&self, ids: &[KeyId]) {
        let mut slots = self.slots();
        if slots.keys.is_empty() {
            return;
        }
        let asked = ids.iter().map(|&id| slots.ask(id..=id));
        let wakers: Vec<Waker> = asked.flatten().collect();
        drop(slots);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The waker of the rounds.
impl Wake for Watched {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        let mut slots = self.slots();
        slots.woken = true;
        let keys = slots.keys.values_mut();
        let wakers: Vec<Waker> = keys.flat_map(Key::wakers).collect();
        drop(slots);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Key {
    fn wakers(&mut self) -> Vec<Waker> {
        let slots = self.watches.values_mut();
        slots.filter_map(|slot| slot.waker.take()).collect()
    }

    fn end(&mut self, ended: &Ended) {
        self.seen_until = None;
        for slot in self.watches.values_mut() {
            slot.ended.get_or_insert_with(|| ended.clone());
        }
    }
}

impl Ticket {
    /// How the watch ended. A watch that goes on polls the rounds, which `begin` makes.
    pub(crate) fn poll(
        &self,
        context: &Context<'_>,
        begin: impl FnOnce() -> BoxFuture<'static, ()>,
    ) -> Poll<Ended> {
        let waker = context.waker().clone();
        let mut slots = self.watchers.slots();
        let woken = slots.woken;
        let Some(slot) = slots.slot(self) else {
            return Poll::Ready(Ended::Unknown);
        };
        if let Some(ended) = slot.ended.take() {
            return Poll::Ready(ended);
        }
        // Before the rounds are polled, so that no wake-up of theirs is lost.
        let earlier = slot.waker.replace(waker);
        drop(slots);
        // A waker may hold the last of a task with a watch of its own, which then leaves.
        drop(earlier);
        if !woken {
            return Poll::Pending;
        }
        self.watchers.poll_rounds(begin);
        let mut slots = self.watchers.slots();
        let ended = slots.slot(self).and_then(|slot| slot.ended.take());
        ended.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Slots {
    /// Has watched keys looked at. Returns whom to wake.
    fn ask(&mut self, ids: impl RangeBounds<KeyId>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for (&id, key) in self.keys.range_mut(ids) {
            wakers.append(&mut key.wakers());
            self.asked.insert(id);
            self.woken = true;
        }
        wakers
    }

    fn slot(&mut self, ticket: &Ticket) -> Option<&mut Slot> {
        let key = self.keys.get_mut(&ticket.id)?;
        key.watches.get_mut(&ticket.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut slots = self.watchers.slots();
        let Some(key) = slots.keys.get_mut(&self.id) else {
            return;
        };
        let slot = key.watches.remove(&self.number);
        if key.watches.is_empty() {
            slots.keys.remove(&self.id);
            slots.asked.remove(&self.id);
        }
        let is_last = slots.keys.is_empty();
        drop(slots);
        // Only here, because the lock is free again: see `poll`.
        drop(slot);
        if is_last {
            // No one polls the rounds, because only a watch does.
            let rounds = &self.watchers.rounds;
            let mut rounds = rounds.lock().unwrap_or_else(PoisonError::into_inner);
            // A watch that came meanwhile goes on with them.
            let left = if self.watchers.slots().keys.is_empty() {
                rounds.take()
            } else {
                None
            };
            drop(rounds);
            drop(left);
        }
    }
}

#[cfg(test)]
mod tests;
