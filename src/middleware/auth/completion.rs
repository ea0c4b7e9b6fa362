//! What is left to do with the response to a request that goes on.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::attribution::AdmittedIn;
use super::cache::CacheHeaders;
use super::gate::{Admission, Gate};
use super::outcome::Outcome;
use crate::middleware::head::RequestHead;
use crate::middleware::rejection::Deferred;

/// It begins before the inner service is called.
pub(super) struct Completion {
    cache: CacheHeaders,
    span: AdmittedIn,
    outcome: Option<Outcome>,
}

impl Completion {
    /// For a request that was admitted.
    #[allow(
        clippy::inline_always,
        reason = "without fields and reports, all that is left is two comparisons"
    )]
    #[inline(always)]
    pub(super) fn of(
        gate: &Arc<Gate>,
        request: &impl RequestHead,
        Admission { cache, span }: Admission,
    ) -> Self {
        Self {
            span,
            outcome: Outcome::of(gate, request, cache.is_private()),
            cache,
        }
    }

    /// For one that goes on although it has no valid key.
    #[cold]
    pub(super) fn deferred(
        gate: &Arc<Gate>,
        request: &impl RequestHead,
        deferred: Deferred,
    ) -> Self {
        Self {
            span: AdmittedIn::default(),
            outcome: Some(Outcome::deferred(gate, request, deferred)),
            cache: CacheHeaders::private(gate.vary),
        }
    }

    /// Whether there is nothing to do.
    #[inline]
    pub(super) fn is_nothing(&self) -> bool {
        self.outcome.is_none() && self.cache.is_nothing() && self.span.is_nothing()
    }

    /// Completes a response in its place. Returns the response of the layer's responder, if that answers instead.
    #[inline]
    pub(super) fn complete<B>(
        &mut self,
        response: &mut Response<B>,
    ) -> Option<Box<Response<Bytes>>> {
        self.span.note_refusal(response);
        if self.outcome.is_some()
            && let Some(answer) = Outcome::conclude_in(&mut self.outcome, response)
        {
            return Some(answer);
        }
        self.cache.apply(response);
        None
    }
}
