//! The questions about unknown keys that are pending or answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::key::digest::KeyDigest;
use crate::key::secret::SecretKey;
use crate::ring::unknown_keys::UnknownKeys;
use crate::store::StoreError;
use crate::support::oneshot::{self, Receiver, Sender};
use crate::time::Timestamp;

/// How long a refused key is remembered: a client that repeats it costs one question a minute.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many refused keys are remembered, the latest of them. It is no defence against a flood of
/// different keys, which the number of questions at a time bounds.
const MOST_REMEMBERED: usize = 1_024;

/// The source that answers for unknown keys, and the pending questions.
pub(super) struct Asking {
    pub(super) keys: Box<dyn UnknownKeys>,
    pub(super) most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The questions without an answer, each with the requests that wait for the same one.
    questions: HashMap<KeyDigest, Vec<Sender<Outcome>>>,
    /// The refused keys and their times, the latest at the end.
    refused: VecDeque<(KeyDigest, Timestamp)>,
}

/// The outcome of a question, for the requests that wait for it.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// Imported, or imported by others meanwhile: the store knows.
    Known,
    Refused,
    NoAnswer(StoreError),
}

/// A presented key that the store does not know.
pub(super) struct Question {
    pub(super) presented: SecretKey,
    pub(super) digest: KeyDigest,
}

pub(super) enum Turn<'a> {
    /// This request asks.
    Ask(Asked<'a>),
    /// Another one asks already.
    Wait(Receiver<Outcome>),
    Refused,
    Overloaded,
}

/// A pending question. If it is dropped without an outcome, one of the waiting requests asks instead.
pub(super) struct Asked<'a> {
    asking: &'a Asking,
    digest: KeyDigest,
}

impl Asking {
    pub(super) fn new(keys: Box<dyn UnknownKeys>, most: usize) -> Self {
        Self {
            keys,
            most,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self, digest: KeyDigest, now: Timestamp) -> Turn<'_> {
        let mut state = self.state();
        if state.has_refused(&digest, now) {
            return Turn::Refused;
        }
        if let Some(waiting) = state.questions.get_mut(&digest) {
            let (sender, receiver) = oneshot::channel();
            waiting.push(sender);
            return Turn::Wait(receiver);
        }
        if state.questions.len() >= self.most {
            return Turn::Overloaded;
        }
        state.questions.insert(digest, Vec::new());
        Turn::Ask(Asked {
            asking: self,
            digest,
        })
    }
}

impl State {
    fn has_refused(&mut self, digest: &KeyDigest, now: Timestamp) -> bool {
        // A clock that was set back forgets: one question more is no harm.
        self.refused.retain(|&(_, at)| {
            at <= now && at.checked_add(REMEMBERED).is_some_and(|end| now < end)
        });
        self.refused.iter().any(|(refused, _)| refused == digest)
    }

    fn remember(&mut self, digest: KeyDigest, now: Timestamp) {
        if self.refused.len() == MOST_REMEMBERED {
            self.refused.pop_front();
        }
        self.refused.push_back((digest, now));
    }
}

impl Asked<'_> {
    /// Sends the outcome to the requests that wait for it.
    pub(super) fn end(self, outcome: &Outcome, now: Timestamp) {
        let waiting = {
            let mut state = self.asking.state();
            if matches!(outcome, Outcome::Refused) {
                state.remember(self.digest, now);
            }
            state.questions.remove(&self.digest)
        };
        // Outside the lock: a waker may run code of others.
        for sender in waiting.into_iter().flatten() {
            sender.send(outcome.clone());
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let waiting = self.asking.state().questions.remove(&self.digest);
        drop(waiting);
    }
}
