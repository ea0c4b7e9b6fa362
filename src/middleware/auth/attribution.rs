//! Where a layer says who called, other than to its observers.

use http::Response;

#[cfg(feature = "tracing")]
use crate::observe::span_fields::SpanFields;
use crate::verdict::{Caller, VerifiedKey};

/// Where a layer says who called: in responses, and in spans.
#[derive(Clone, Copy, Default)]
pub(super) struct Attribution {
    pub(super) in_response: bool,
    #[cfg(feature = "tracing")]
    pub(super) in_span: Option<SpanFields>,
}

impl Attribution {
    /// Whether the layer says it anywhere.
    pub(super) fn is_any(self) -> bool {
        #[cfg(feature = "tracing")]
        if self.in_span.is_some() {
            return true;
        }
        self.in_response
    }

    /// Says in a response whose key the request had, if the layer was told to.
    #[inline]
    pub(super) fn name_caller<B>(
        self,
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
