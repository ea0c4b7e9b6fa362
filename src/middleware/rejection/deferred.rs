//! A refusal that a layer hands on, instead of answering with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Response;

use super::response::Responses;
use super::{Head, Rejection};
use crate::verdict::VerifiedKey;

/// Left in the extensions of a request that goes on although it has no valid key. With it, a guard or an extractor
/// further in answers as the layer would have.
#[derive(Clone)]
pub(crate) struct Deferred(Arc<Inner>);

struct Inner {
    rejection: Rejection,
    /// A valid key that does not meet the requirement.
    key: Option<VerifiedKey>,
    responses: Arc<Responses>,
    /// Whether code further in has looked at it.
    is_seen: AtomicBool,
}

impl Deferred {
    pub(crate) fn new(
        rejection: Rejection,
        key: Option<VerifiedKey>,
        responses: Arc<Responses>,
    ) -> Self {
        let is_seen = AtomicBool::new(false);
        Self(Arc::new(Inner {
            rejection,
            key,
            responses,
            is_seen,
        }))
    }

    /// The response if a key is needed after all.
    pub(crate) fn refuse(&self, request: Head<'_>) -> Response<Bytes> {
        self.see();
        self.0.responses.respond(self.0.rejection.clone(), request)
    }

    /// The same refusal, before it becomes a response.
    pub(crate) fn rejection(&self) -> Rejection {
        self.see();
        self.0.rejection.clone()
    }

    /// Whose key was refused, if it is valid. It proves nothing.
    pub(crate) fn caller(&self) -> Option<&VerifiedKey> {
        self.0.key.as_ref()
    }

    /// Notes that code further in has decided.
    pub(crate) fn see(&self) {
        self.0.is_seen.store(true, Ordering::Relaxed);
    }

    /// Whether the layer has reported it when the request went on.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_told(&self) -> bool {
        !self.0.rejection.untold
    }

    pub(crate) fn is_seen(&self) -> bool {
        self.0.is_seen.load(Ordering::Relaxed)
    }
}
