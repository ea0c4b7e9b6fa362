//! Where a layer says who called, other than to its observers.

#[cfg(feature = "tracing")]
use std::sync::Arc;

use http::Response;

use crate::access::realm::Realm;
#[cfg(feature = "tracing")]
use crate::middleware::rejection::Rejection;
#[cfg(feature = "tracing")]
use crate::observe::span_fields::SpanRecorder;
use crate::verdict::{Caller, VerifiedKey};

/// Where a layer says who called: in responses, and in spans.
#[derive(Clone, Default)]
pub(super) struct Attribution {
    pub(super) in_response: bool,
    #[cfg(feature = "tracing")]
    pub(super) in_span: Option<Arc<SpanRecorder>>,
}

impl Attribution {
    /// Says in a response whose key the request had, if the layer was told to.
    #[inline]
    pub(super) fn name_caller<B>(
        &self,
        response: &mut Response<B>,
        key: impl FnOnce() -> Option<VerifiedKey>,
    ) {
        if self.in_response
            && let Some(key) = key()
        {
            response.extensions_mut().insert(Caller::of(key));
        }
    }
}

/// The span in which a request was admitted.
#[derive(Default)]
pub(super) struct AdmittedIn {
    #[cfg(feature = "tracing")]
    span: Option<tracing::span::Id>,
}

impl AdmittedIn {
    /// Says in the current span that a request was admitted, if the layer is set to. `None` is a client without a key.
    #[inline]
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "there are no spans")
    )]
    pub(super) fn of(attribution: &Attribution, key: Option<&VerifiedKey>, realm: &Realm) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: attribution
                .in_span
                .as_deref()
                .and_then(|recorder| recorder.admitted(key, realm)),
        }
    }

    /// Whether nothing can be said in it later.
    #[inline]
    #[cfg_attr(
        not(feature = "tracing"),
        expect(clippy::unused_self, reason = "there are no spans")
    )]
    pub(super) fn is_nothing(&self) -> bool {
        #[cfg(feature = "tracing")]
        return self.span.is_none();
        #[cfg(not(feature = "tracing"))]
        true
    }

    /// Says in the span that the code further in has refused the request, if it has.
    #[inline]
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, clippy::unused_self, reason = "there are no spans")
    )]
    pub(super) fn note_refusal<B>(&self, response: &mut Response<B>) {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span
            && let Some(rejection) = Rejection::within(response)
            && rejection.is_untold()
        {
            SpanRecorder::refused_within(span, rejection.kind());
        }
    }
}
