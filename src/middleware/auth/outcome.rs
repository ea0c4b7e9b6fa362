//! The outcome of an admitted request, which is reported once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::gate::{FollowUp, Gate};
use crate::middleware::head::RequestHead;
use crate::middleware::rejection::{Deferred, Head, Rejection, RejectionKind};
use crate::observe::event::{Event, EventKind};
#[cfg(feature = "tracing")]
use crate::observe::span_fields::SpanRecorder;
use crate::verdict::VerifiedKey;

/// A request that was admitted. The guards and extractors further in may still refuse it. So the
/// observer is notified when there is a response, or when there will be none because the service failed,
/// it panicked, or the client hung up.
pub(super) struct Outcome {
    gate: Arc<Gate>,
    /// Whether it has a valid key. If not, it is anonymous.
    has_key: bool,
    /// `None` too if nothing is to be said of the key.
    key: Option<VerifiedKey>,
    is_head: bool,
    is_reported: bool,
    /// In a box, because an outcome is moved with the future that it is in, and few requests are handed on.
    handed_on: Option<Box<HandedOn>>,
}

/// What is known of a request that goes on although it has no valid key.
struct HandedOn {
    /// The refusal that code further in was to look at.
    deferred: Deferred,
    /// The span that the request began in, if that does not have the outcome yet. If the client hangs up, the current one
    /// is another.
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
}

impl Outcome {
    /// `None` if the layer has nothing to report or to add, which then costs a comparison.
    #[inline]
    pub(super) fn of(gate: &Arc<Gate>, request: &impl RequestHead, has_key: bool) -> Option<Self> {
        (gate.follow_up != FollowUp::Nothing).then(|| Self::begin(gate, request, has_key))
    }

    fn begin(gate: &Arc<Gate>, request: &impl RequestHead, has_key: bool) -> Self {
        let is_named = gate.follow_up == FollowUp::OfKey;
        Self {
            has_key,
            key: is_named
                .then(|| request.extensions().get::<VerifiedKey>().cloned())
                .flatten(),
            is_head: *request.method() == Method::HEAD,
            is_reported: false,
            handed_on: None,
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
        let mut outcome = Self::begin(gate, request, false);
        outcome.handed_on = Some(Box::new(HandedOn {
            #[cfg(feature = "tracing")]
            span: (gate.attribution.in_span.is_some() && !deferred.is_told())
                .then(|| SpanRecorder::undecided(gate.ring.realm()))
                .flatten(),
            deferred,
        }));
        outcome
    }

    /// Concludes an outcome where it is, because moving it costs as much as the rest. It is not inlined, so that a layer that
    /// reports nothing does not grow by it.
    #[inline(never)]
    pub(super) fn conclude_in<B>(
        place: &mut Option<Self>,
        response: &mut Response<B>,
    ) -> Option<Box<Response<Bytes>>> {
        let answer = place.as_mut()?.conclude(response);
        *place = None;
        answer
    }

    /// Reports the outcome, and returns the response of the layer's responder, if that answers a refusal by a guard, an
    /// extractor or a handler.
    #[inline]
    pub(super) fn conclude<B>(
        &mut self,
        response: &mut Response<B>,
    ) -> Option<Box<Response<Bytes>>> {
        if self.handed_on.is_some() || Rejection::within(response).is_some() {
            let mut answer = self.answer(response);
            match &mut answer {
                Some(answer) => self.name_caller(answer),
                None => self.name_caller(response),
            }
            return answer;
        }
        self.announce(response);
        self.report_admitted();
        self.name_caller(response);
        None
    }

    /// Reports what the response says of a refusal. It is not inlined, so that nothing else makes room for a response.
    #[cold]
    #[inline(never)]
    fn answer<B>(&mut self, response: &mut Response<B>) -> Option<Box<Response<Bytes>>> {
        let answer = if let Some(rejection) = Rejection::within(response) {
            let kind = rejection.kind();
            let is_untold = rejection.take_untold();
            if is_untold {
                self.report_refusal(kind);
            }
            // The observer was notified of a wrong key when the request went on.
            let answers = is_untold || self.handed_on.is_some();
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
        self.report_admitted();
        answer.map(Box::new)
    }

    /// Says in the response whose key it was. The outcome was reported, and needs the key no more.
    #[inline]
    fn name_caller<B>(&mut self, response: &mut Response<B>) {
        let (key, handed_on) = (&mut self.key, &self.handed_on);
        self.gate.attribution.name_caller(response, || {
            let refused = || handed_on.as_ref()?.deferred.caller().cloned();
            key.take().or_else(refused)
        });
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
        let deferred = self.handed_on.as_ref()?.deferred.clone();
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
        self.tell(event);
        #[cfg(feature = "tracing")]
        self.record(Some(kind));
    }

    fn tell(&self, event: EventKind) {
        self.gate.observer.tell(|| match &self.key {
            Some(key) => Event::about(event, key.record()),
            None => Event::without_record(event, Some(self.gate.ring.realm()), None),
        });
    }

    #[cfg(feature = "tracing")]
    fn record(&self, refusal: Option<RejectionKind>) {
        let handed_on = self.handed_on.as_ref();
        if let Some(span) = handed_on.and_then(|handed_on| handed_on.span.as_ref()) {
            SpanRecorder::decided(span, refusal);
        }
    }

    /// Reports that the request was admitted, if nothing else was reported.
    fn report_admitted(&mut self) {
        if std::mem::replace(&mut self.is_reported, true) {
            return;
        }
        if self.has_key {
            self.tell(EventKind::Authenticated);
        }
        #[cfg(feature = "tracing")]
        self.record(None);
    }
}

/// There is no response.
impl Drop for Outcome {
    #[inline]
    fn drop(&mut self) {
        self.report_admitted();
    }
}
