//! The outcome of an admitted request, which is reported to its observer once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};

use super::gate::Gate;
use crate::middleware::rejection::Rejection;
use crate::observe::event::{Event, EventKind};
use crate::verdict::VerifiedKey;

/// A request that was admitted. The guards and extractors further in may still refuse it. So the
/// observer is notified when there is a response, or when there will be none because the service failed,
/// it panicked, or the client hung up.
pub(super) struct Outcome {
    gate: Arc<Gate>,
    /// `None` for an anonymous request, and once the outcome has been reported.
    key: Option<VerifiedKey>,
    is_head: bool,
}

impl Outcome {
    /// `None` if there is neither an observer nor a responder, which then costs two comparisons.
    #[inline]
    pub(super) fn of<B>(gate: &Arc<Gate>, request: &Request<B>) -> Option<Self> {
        let is_observed = gate.observer.is_set();
        (is_observed || gate.responses.has_responder()).then(|| Self {
            gate: Arc::clone(gate),
            key: is_observed
                .then(|| request.extensions().get().cloned())
                .flatten(),
            is_head: *request.method() == Method::HEAD,
        })
    }

    /// Reports what the response says of a guard, an extractor or a handler, and returns the response
    /// of the layer's responder, if that answers it. Dropping the outcome reports the rest.
    pub(super) fn conclude<B>(mut self, response: &mut Response<B>) -> Option<Response<Bytes>> {
        let rejection = Rejection::within(response)?;
        if !rejection.take_untold() {
            return None;
        }
        let kind = EventKind::Rejected {
            kind: rejection.kind(),
            cause: None,
        };
        let key = self.key.take();
        self.gate.observer.tell(|| match &key {
            Some(key) => Event::about(kind, key.record()),
            None => Event::without_record(kind, Some(self.gate.ring.realm()), None),
        });
        self.gate.responses.answer_for(response, self.is_head)
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.gate
                .observer
                .tell(|| Event::about(EventKind::Authenticated, key.record()));
        }
    }
}
