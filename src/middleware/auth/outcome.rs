//! The outcome of an admitted request, which is reported once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::gate::Gate;
use crate::middleware::head::RequestHead;
use crate::middleware::rejection::{Deferred, Head, Rejection, RejectionKind};
use crate::observe::event::{Event, EventKind};
#[cfg(feature = "tracing")]
use crate::observe::span_fields::SpanFields;
use crate::verdict::VerifiedKey;

/// A request that was admitted. The guards and extractors further in may still refuse it. So the
/// observer is notified when there is a response, or when there will be none because the service failed,
/// it panicked, or the client hung up.
pub(super) struct Outcome {
    gate: Arc<Gate>,
    /// `None` for an anonymous request.
    key: Option<VerifiedKey>,
    is_head: bool,
    is_reported: bool,
    /// The refusal that code further in was to look at.
    deferred: Option<Deferred>,
    /// The span that the request began in. If the client hangs up, the current one is another.
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
}

impl Outcome {
    /// `None` if the layer has nothing to report or to add, which then costs a comparison.
    #[inline]
    pub(super) fn of(gate: &Arc<Gate>, request: &impl RequestHead) -> Option<Self> {
        gate.follows.then(|| Self::begin(gate, request))
    }

    fn begin(gate: &Arc<Gate>, request: &impl RequestHead) -> Self {
        let key = request.extensions().get::<VerifiedKey>();
        Self {
            #[cfg(feature = "tracing")]
            span: (gate.attribution.in_span)
                .and_then(|fields| fields.admitted(key, gate.ring.realm())),
            key: key.cloned(),
            is_head: *request.method() == Method::HEAD,
            is_reported: false,
            deferred: None,
            gate: Arc::clone(gate),
        }
    }

    /// The outcome of a request that goes on although it has no valid key.
    #[cold]
    pub(super) fn deferred(
        gate: &Arc<Gate>,
        request: &impl RequestHead,
        deferred: Deferred,
    ) -> Self {
        let mut outcome = Self::begin(gate, request);
        #[cfg(feature = "tracing")]
        if deferred.is_told() {
            outcome.span = None;
        }
        outcome.deferred = Some(deferred);
        outcome
    }

    /// Reports what the response says of a guard, an extractor or a handler, and returns the response
    /// of the layer's responder, if that answers it. Dropping the outcome reports the rest.
    pub(super) fn conclude<B>(mut self, response: &mut Response<B>) -> Option<Response<Bytes>> {
        let mut answer = if let Some(rejection) = Rejection::within(response) {
            let kind = rejection.kind();
            let is_untold = rejection.take_untold();
            if is_untold {
                self.report_refusal(kind);
            }
            // The observer was notified of a wrong key when the request went on.
            let answers = is_untold || self.deferred.is_some();
            answers
                .then(|| self.gate.responses.answer_for(response, self.is_head))
                .flatten()
        } else {
            let answer = self.unseen(response.status());
            if answer.is_none() {
                self.announce(response);
            }
            answer
        };
        let refused = || self.deferred.as_ref()?.caller();
        let (attribution, key) = (self.gate.attribution, self.key.as_ref().or_else(refused));
        match &mut answer {
            Some(answer) => attribution.name_caller(key, answer),
            None => attribution.name_caller(key, response),
        }
        answer
    }

    /// Tells the holder of the key when it ends, if the layer is set to.
    fn announce<B>(&self, response: &mut Response<B>) {
        if let (Some(lifetime), Some(key)) = (self.gate.lifetime, &self.key) {
            let now = self.gate.ring.time_of_ends();
            lifetime.announce(key, now, response.headers_mut());
        }
    }

    /// The refusal of a request for which a handler has answered, and nobody has looked at its key.
    fn unseen(&mut self, status: StatusCode) -> Option<Response<Bytes>> {
        let deferred = self.deferred.clone()?;
        let is_answered = status.is_success() || status.is_informational();
        if !is_answered || deferred.is_seen() {
            return None;
        }
        let mut rejection = deferred.rejection();
        if rejection.take_untold() {
            self.report_refusal(rejection.kind());
        }
        let method = if self.is_head {
            Method::HEAD
        } else {
            Method::GET
        };
        let head = Head::plain(&method);
        Some(self.gate.responses.respond(rejection, head))
    }

    fn report_refusal(&mut self, kind: RejectionKind) {
        self.is_reported = true;
        let event = EventKind::Rejected { kind, cause: None };
        self.gate.observer.tell(|| match &self.key {
            Some(key) => Event::about(event, key.record()),
            None => Event::without_record(event, Some(self.gate.ring.realm()), None),
        });
        #[cfg(feature = "tracing")]
        self.record(kind.as_str());
    }

    #[cfg(feature = "tracing")]
    fn record(&self, outcome: &'static str) {
        if let Some(span) = &self.span {
            SpanFields::concluded(span, outcome);
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if self.is_reported {
            return;
        }
        let accepted = EventKind::Authenticated;
        if let Some(key) = &self.key {
            self.gate
                .observer
                .tell(|| Event::about(accepted, key.record()));
        }
        #[cfg(feature = "tracing")]
        self.record(self.key.as_ref().map_or("anonymous", |_| accepted.as_str()));
    }
}
