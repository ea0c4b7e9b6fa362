//! What the users of a replica ask of the future that follows.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use crate::support::oneshot::{Receiver, Sender, channel};

/// Those who wait for the future that follows.
#[derive(Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    /// They wait for a pull that is asked from now on.
    pulls: Vec<Sender<()>>,
    /// They wait until the records are fresh.
    fresh: Vec<Sender<()>>,
    waker: Option<Waker>,
    /// The future is gone.
    is_closed: bool,
}

/// Adds one, and removes those whose callers have given up: a probe may ask for as long as there is no answer.
fn keep(waiting: &mut Vec<Sender<()>>, sender: Sender<()>) {
    if waiting.len() == waiting.capacity() {
        waiting.retain(|it| !it.is_closed());
    }
    waiting.push(sender);
}

impl Inbox {
    /// Completes once a pull that is asked from now on is held, with `None` if there is none.
    pub(super) fn next_pull(&self) -> Receiver<()> {
        let (sender, receiver) = channel();
        let mut state = self.state();
        if !state.is_closed {
            keep(&mut state.pulls, sender);
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        receiver
    }

    /// Completes once the records are fresh, with `None` if they will not be.
    pub(super) fn next_freshness(&self) -> Receiver<()> {
        let (sender, receiver) = channel();
        let mut state = self.state();
        if !state.is_closed {
            keep(&mut state.fresh, sender);
        }
        drop(state);
        receiver
    }

    /// Those who wait for a pull. If there are none, the next one wakes this task.
    pub(super) fn take_pulls(&self, context: &Context<'_>) -> Vec<Sender<()>> {
        let mut state = self.state();
        if state.pulls.is_empty() {
            let earlier = state.waker.replace(context.waker().clone());
            drop(state);
            drop(earlier);
            return Vec::new();
        }
        mem::take(&mut state.pulls)
    }

    pub(super) fn take_fresh(&self) -> Vec<Sender<()>> {
        mem::take(&mut self.state().fresh)
    }

    /// No pull will come any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let left = mem::take(&mut *state);
        state.is_closed = true;
        drop(state);
        drop(left);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_gave_up_are_forgotten() {
        let inbox = Inbox::default();
        let kept = [inbox.next_freshness(), inbox.next_freshness()];
        for _ in 0..10_000 {
            drop(inbox.next_freshness());
            drop(inbox.next_pull());
        }
        let state = inbox.state();
        assert!(state.fresh.len() <= 8 && state.pulls.len() <= 8);
        let waiting = state.fresh.iter().filter(|it| !it.is_closed()).count();
        assert_eq!(waiting, kept.len());
    }
}
