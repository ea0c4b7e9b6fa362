//! Keys that the store does not know, and the questions about them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::KeyRing;
use super::verify::{Verdict, is_unknown};
use crate::access::caveat::Facts;
use crate::error::{Error, ErrorKind};
use crate::key::digest::KeyDigest;
use crate::key::foreign::is_importable;
use crate::key::secret::SecretKey;
use crate::lifecycle::request::{Import, OldKey};
use crate::observe::event::{Event, EventKind};
use crate::ring::unknown_keys::UnknownKeys;
use crate::store::{Lookup, StoreError, StoreErrorKind};
use crate::support::caught::{caught, caught_in};
use crate::support::oneshot::{self, Receiver, Sender};
use crate::time::Timestamp;
use crate::verdict::{InvalidCause, VerifyError};

/// How long a refused key is remembered: a client that repeats it costs one question a minute.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many refused keys are remembered, the latest of them. It is no defence against a flood of
/// different keys, which the number of questions at a time bounds.
const MOST_REMEMBERED: usize = 1_024;

/// The source that answers for unknown keys, and the pending questions.
pub(super) struct Asking {
    keys: Box<dyn UnknownKeys>,
    most: usize,
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
enum Outcome {
    /// Imported, or imported by others meanwhile: the store knows.
    Known,
    Refused,
    NoAnswer(StoreError),
}

/// A presented key that the store does not know.
pub(super) struct Question {
    presented: SecretKey,
    digest: KeyDigest,
}

enum Turn<'a> {
    /// This request asks.
    Ask(Asked<'a>),
    /// Another one asks already.
    Wait(Receiver<Outcome>),
    Refused,
    Overloaded,
}

/// A pending question. If it is dropped without an outcome, one of the waiting requests asks instead.
struct Asked<'a> {
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

    fn turn(&self, digest: KeyDigest, now: Timestamp) -> Turn<'_> {
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
    fn end(self, outcome: &Outcome, now: Timestamp) {
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

impl KeyRing {
    /// The question about a key that the store does not know, if the ring asks about such keys.
    pub(super) fn question(&self, presented: &[u8]) -> Option<Question> {
        self.0.unknown_keys.as_ref()?;
        // A key in this ring's format that is not in its store is not valid.
        if !is_importable(presented) || self.0.format.is_shaped(presented) {
            return None;
        }
        Some(Question {
            presented: SecretKey::presented(std::str::from_utf8(presented).ok()?),
            digest: self.0.digester.current(presented),
        })
    }

    /// The verdict on an unknown key, once it is known whether it is one of another system.
    pub(super) async fn ask(self, question: Question, facts: Facts) -> Verdict {
        let unknown = || Err(VerifyError::invalid(InvalidCause::Unknown));
        let Some(asking) = &self.0.unknown_keys else {
            return unknown();
        };
        let Question { presented, digest } = question;
        loop {
            let outcome = match asking.turn(digest, self.0.clock.now()) {
                Turn::Ask(asked) => {
                    let outcome = self.resolve(asking, presented, &digest, facts).await;
                    asked.end(&outcome, self.0.clock.now());
                    outcome
                }
                Turn::Wait(receiver) => match receiver.await {
                    Some(outcome) => outcome,
                    // The request that asked is gone.
                    None => continue,
                },
                Turn::Refused => Outcome::Refused,
                Turn::Overloaded => Outcome::NoAnswer(StoreError::new(
                    StoreErrorKind::Overloaded,
                    format!(
                        "{} unknown keys are asked for already, which is max_pending_unknown_keys",
                        asking.most
                    ),
                )),
            };
            return match outcome {
                Outcome::Known => self.known(&digest, facts).await,
                Outcome::Refused => unknown(),
                Outcome::NoAnswer(why) => Err(VerifyError::store_unavailable(why)),
            };
        }
    }

    /// The verdict of the store alone.
    async fn known(&self, digest: &KeyDigest, facts: Facts) -> Verdict {
        let found = match self.0.find(digest) {
            Lookup::Ready(found) => found,
            Lookup::Pending(found) => found.await,
        };
        self.0.judge(found, digest, || facts)
    }

    async fn resolve(
        &self,
        asking: &Asking,
        presented: SecretKey,
        digest: &KeyDigest,
        facts: Facts,
    ) -> Outcome {
        // Another request may have had the answer since this one looked.
        match self.known(digest, facts).await {
            Err(error) if is_unknown(&error) => {}
            _ => return Outcome::Known,
        }
        let key = OldKey::plaintext(presented.expose());
        let answer = match caught(|| asking.keys.ask(presented)) {
            Some(answer) => caught_in(answer).await,
            None => None,
        };
        match answer {
            Some(Ok(Some(import))) => self.take_in(import, &key, digest, facts).await,
            Some(Ok(None)) => Outcome::Refused,
            Some(Err(error)) => self.no_answer(StoreError::unavailable(error)),
            None => self.no_answer(StoreError::unavailable(
                "the code that is asked for unknown keys panicked",
            )),
        }
    }

    async fn take_in(
        &self,
        import: Import,
        key: &OldKey,
        digest: &KeyDigest,
        facts: Facts,
    ) -> Outcome {
        let imported = self.import_as(EventKind::Moved, import, key).await;
        match imported {
            Ok(_) => Outcome::Known,
            Err(error) if error.kind() == ErrorKind::Duplicate => {
                match self.known(digest, facts).await {
                    // It is a key of another realm.
                    Err(error) if is_unknown(&error) => Outcome::Refused,
                    // Another node was first.
                    _ => Outcome::Known,
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::Store | ErrorKind::Conflict | ErrorKind::Generator => {
                    self.no_answer(StoreError::unavailable(error))
                }
                _ => {
                    self.report_failed_move(&error);
                    Outcome::Refused
                }
            },
        }
    }

    fn no_answer(&self, why: StoreError) -> Outcome {
        self.report_failed_move(&Error::from(why.clone()));
        Outcome::NoAnswer(why)
    }

    fn report_failed_move(&self, failure: &Error) {
        self.0.observer.tell(|| {
            Event::without_record(EventKind::MoveFailed, Some(&self.0.realm), None)
                .because_of(Some(failure))
        });
    }
}
