//! The outcome of an admitted request, which is reported once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};

use super::gate::Gate;
use crate::middleware::rejection::{Rejection, RejectionKind};
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
    /// The span that the request began in. If the client hangs up, the current one is another.
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
}

impl Outcome {
    /// `None` if the layer has nothing to report or to add, which then costs a comparison.
    #[inline]
    pub(super) fn of<B>(gate: &Arc<Gate>, request: &Request<B>) -> Option<Self> {
        gate.follows.then(|| Self::begin(gate, request))
    }

    fn begin<B>(gate: &Arc<Gate>, request: &Request<B>) -> Self {
        let key = request.extensions().get::<VerifiedKey>();
        Self {
            #[cfg(feature = "tracing")]
            span: (gate.attribution.in_span)
                .and_then(|fields| fields.admitted(key, gate.ring.realm())),
            key: key.cloned(),
            is_head: *request.method() == Method::HEAD,
            is_reported: false,
            gate: Arc::clone(gate),
        }
    }

    /// Reports what the response says of a guard, an extractor or a handler, and returns the response
    /// of the layer's responder, if that answers it. Dropping the outcome reports the rest.
    pub(super) fn conclude<B>(mut self, response: &mut Response<B>) -> Option<Response<Bytes>> {
        let mut answer = None;
        if let Some(rejection) = Rejection::within(response)
            && rejection.take_untold()
        {
            let kind = rejection.kind();
            self.report_refusal(kind);
            answer = self.gate.responses.answer_for(response, self.is_head);
        }
        let (attribution, key) = (self.gate.attribution, self.key.as_ref());
        match &mut answer {
            Some(answer) => attribution.name_caller(key, answer),
            None => attribution.name_caller(key, response),
        }
        answer
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
