//! The decisions on one request that were made by a call, for the layer that completes its response.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;

use super::attribution::AdmittedIn;
use super::cache::CacheHeaders;
use super::gate::Gate;
use super::outcome::Outcome;
use crate::middleware::rejection::Rejection;
use crate::verdict::VerifiedKey;

/// The result of an authenticator. `None` is a client that needs no key.
pub(super) type Decided = Result<Option<VerifiedKey>, Rejection>;

/// A [`ResponseGuard`](super::ResponseGuard) leaves it in each request, new and empty. So what it holds was decided
/// about this request.
#[derive(Clone, Default)]
pub(super) struct Decisions(Arc<Mutex<Vec<Decision>>>);

pub(super) struct Decision {
    /// That of the authenticator.
    pub(super) gate: Arc<Gate>,
    pub(super) decided: Decided,
    pub(super) cache: CacheHeaders,
    pub(super) span: AdmittedIn,
    pub(super) outcome: Option<Outcome>,
    /// Whose key was refused, if it is valid.
    pub(super) caller: Option<VerifiedKey>,
}

impl Decisions {
    /// What this gate has decided before. The credential is no longer there.
    pub(super) fn of(&self, gate: &Arc<Gate>) -> Option<Decided> {
        let decisions = self.lock();
        let earlier = decisions.iter().find(|it| Arc::ptr_eq(&it.gate, gate))?;
        Some(earlier.decided.clone())
    }

    pub(super) fn add(&self, decision: Decision) {
        self.lock().push(decision);
    }

    /// Completes the response of the handlers. Returns another one if the responder of a layer answers instead.
    pub(super) fn complete<B>(
        &self,
        response: &mut Response<B>,
        is_head: bool,
    ) -> Option<Response<Bytes>> {
        let decisions = std::mem::take(&mut *self.lock());
        let mut answer = None;
        for mut decision in decisions {
            decision.span.note_refusal(response);
            let (gate, caller) = (&decision.gate, decision.caller.as_ref());
            let answered = match (&decision.decided, decision.outcome.take()) {
                (Ok(_), outcome) => {
                    let answered = outcome.and_then(|mut outcome| outcome.conclude(response));
                    answered.map(|answered| *answered)
                }
                // The observer was notified when it was decided.
                (Err(_), _) => {
                    let mut answered = gate.responses.answer_for(response, is_head);
                    let (attribution, caller) = (&gate.attribution, || caller.cloned());
                    match &mut answered {
                        Some(answer) => attribution.name_caller(answer, caller),
                        None => attribution.name_caller(response, caller),
                    }
                    answered
                }
            };
            decision.cache.apply(response);
            answer = answer.or(answered);
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Decision>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
