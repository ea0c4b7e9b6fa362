//! The ceiling of a key's owner: in verdicts, in watches, and before a key is made.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::KeyRing;
use super::acceptance::Acceptance;
use super::bounded::{Bounded, Missing};
use super::owners::{AskedOwners, Owner};
use super::verifying::{Verdict, Verifying};
use crate::access::caveat::Facts;
use crate::access::subject::Subject;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::Policy;
use crate::lifecycle::grant::Grant;
use crate::record::Held;
use crate::store::{BoxFuture, StoreError};
use crate::support::caught::{caught, caught_in};
use crate::verdict::{InvalidCause, VerifiedKey, VerifyError};

/// An owner, `None` if their keys are refused, or why there is no answer.
pub(super) type Answered = Result<Option<Owner>, StoreError>;

/// How many owners of watched keys are asked at a time.
const AT_A_TIME: usize = 32;

impl KeyRing {
    /// The verdict on a key that its record does not refuse.
    pub(super) fn accept(&self, record: Held, facts: &dyn Fn() -> Facts) -> Verifying {
        match self.0.acceptance {
            Acceptance::AsItIs => Verifying::Done(Ok(VerifiedKey::new(record))),
            Acceptance::Otherwise => self.accept_otherwise(record, facts),
        }
    }

    pub(super) fn accept_otherwise(&self, record: Held, facts: &dyn Fn() -> Facts) -> Verifying {
        if self.0.owners.is_none() {
            return Verifying::Done(Ok(VerifiedKey::new(self.noted(record, facts))));
        }
        let (ring, judged, facts) = (self.clone(), record.clone(), facts());
        let verdict = async move { ring.owned(record, facts).await };
        self.wait_within_bound(Box::pin(verdict), |why| no_answer(judged, why))
    }

    /// The same, in a look-up that waits already.
    pub(super) async fn owned(&self, record: Held, facts: Facts) -> Verdict {
        let Some(owners) = &self.0.owners else {
            return Ok(VerifiedKey::new(self.noted(record, &|| facts)));
        };
        match ask(owners, record.subject()).await {
            Ok(Some(owner)) => {
                if let Some(uses) = &self.0.uses {
                    uses.note(&record, self.0.clock.now());
                }
                // The notes are on the scopes of the record, of which the owner may have fewer.
                let record = self.noted(record, &|| facts);
                let notes = record.notes().cloned();
                let limited = owner.limit(record);
                Ok(VerifiedKey::new(match notes {
                    Some(notes) if limited.notes().is_none() => limited.with_notes(notes),
                    _ => limited,
                }))
            }
            Ok(None) => {
                let refused = VerifyError::invalid(InvalidCause::OwnerRefused);
                Err(refused.of(record.into_record()))
            }
            Err(why) => Err(no_answer(record, why)),
        }
    }

    /// The record of a key that is accepted, with the notes on its uses if the ring takes any.
    fn noted(&self, record: Held, facts: &dyn Fn() -> Facts) -> Held {
        match &self.0.noting {
            Some(noting) => noting.note(record, || self.0.clock.now(), facts),
            None => record,
        }
    }

    /// The policy for this grant: it grants no scope that the owner does not have now.
    pub(super) async fn policy_for(&self, grant: &Grant) -> Result<Cow<'_, Policy>, Error> {
        let policy = &self.0.policy;
        let owners = self.0.owners.as_ref();
        let Some(owners) = owners.filter(|owners| owners.limit_grants) else {
            return Ok(Cow::Borrowed(policy));
        };
        let owner = ask(owners, grant.checked()?).await?;
        let owner = owner.ok_or(ErrorKind::OwnerRefused)?;
        Ok(match owner.ceiling() {
            Some(ceiling) => Cow::Owned(policy.within(ceiling)),
            None => Cow::Borrowed(policy),
        })
    }

    /// The owners of watched keys, each within the bound of a look-up. `None` if the ring asks about no
    /// owner.
    pub(super) async fn owners_of<'a>(
        &self,
        subjects: impl Iterator<Item = &'a Subject>,
    ) -> Option<BTreeMap<Subject, Answered>> {
        let owners = self.0.owners.as_ref()?;
        let mut subjects: Vec<Subject> = subjects.cloned().collect();
        subjects.sort_unstable();
        subjects.dedup();
        let mut answers = BTreeMap::new();
        let mut groups = subjects.chunks(AT_A_TIME);
        while let Some(group) = groups.next() {
            let answered = self.ask_in_time(owners, group).await;
            // If there is no answer about any of them, the rest is not asked: each group would wait for as long.
            let failure = match &answered[..] {
                [Err(failure), others @ ..] if others.iter().all(Result::is_err) => {
                    Some(failure.clone())
                }
                _ => None,
            };
            answers.extend(group.iter().cloned().zip(answered));
            if let Some(failure) = failure {
                let rest = groups.flatten().cloned();
                answers.extend(rest.map(|subject| (subject, Err(failure.clone()))));
                break;
            }
        }
        Some(answers)
    }

    /// An answer about each of these.
    async fn ask_in_time(&self, owners: &AskedOwners, subjects: &[Subject]) -> Vec<Answered> {
        let within = self.0.lookup_timeout;
        let mut pending: Vec<_> = subjects
            .iter()
            .map(|subject| {
                let (owners, subject) = (owners.clone(), subject.clone());
                let answer: BoxFuture<'static, Answered> =
                    Box::pin(async move { ask(&owners, &subject).await });
                (Bounded::new(answer, self.0.clock.sleep(within)), None)
            })
            .collect();
        poll_fn(|context| {
            for (question, answer) in pending.iter_mut().filter(|(_, answer)| answer.is_none()) {
                if let Poll::Ready(answered) = Pin::new(question).poll(context) {
                    let late = |missing: Missing| Err(missing.failure(within));
                    *answer = Some(answered.unwrap_or_else(late));
                }
            }
            if pending.iter().all(|(_, answer)| answer.is_some()) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        let answers = pending.into_iter().filter_map(|(_, answer)| answer);
        answers.collect()
    }
}

/// Asks. A panic counts as no answer.
async fn ask(asked: &AskedOwners, subject: &Subject) -> Answered {
    let answer = match caught(|| asked.owners.ask(subject.clone())) {
        Some(answer) => caught_in(answer).await,
        None => None,
    };
    match answer {
        Some(Ok(owner)) => Ok(owner),
        Some(Err(why)) => Err(StoreError::unavailable(why)),
        None => Err(StoreError::unavailable(
            "the code that looks up the owners of keys panicked",
        )),
    }
}

fn no_answer(record: Held, why: StoreError) -> VerifyError {
    VerifyError::store_unavailable(why).of(record.into_record())
}
