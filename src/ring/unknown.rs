//! Keys that the store does not know, and the questions about them.

use super::KeyRing;
use super::asking::{Asking, Outcome, Question, Turn};
use super::verify::is_unknown;
use super::verifying::Judged;
use crate::access::caveat::Facts;
use crate::error::{Error, ErrorKind};
use crate::key::digest::KeyDigest;
use crate::key::foreign::is_importable;
use crate::key::secret::SecretKey;
use crate::lifecycle::request::{Import, OldKey};
use crate::observe::event::{Event, EventKind};
use crate::store::{Lookup, StoreError, StoreErrorKind};
use crate::support::caught::{caught, caught_in};
use crate::verdict::{InvalidCause, VerifyError};

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
    pub(super) async fn ask(&self, question: Question, facts: Facts) -> Judged {
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
                        "{} unknown keys are being looked up already, which is the limit \
                         max_pending_unknown_keys",
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
    async fn known(&self, digest: &KeyDigest, facts: Facts) -> Judged {
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
                "the code that looks up unknown keys panicked",
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
