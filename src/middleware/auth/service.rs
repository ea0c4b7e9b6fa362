//! The request path.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::completion::Completion;
use super::future::{PendingCall, ResponseFuture};
use super::gate::{Gate, OnRefusal, Step};
use crate::middleware::body::ResponseBody;

/// The service that [`ApiKeyLayer`](crate::ApiKeyLayer) makes.
#[derive(Clone)]
pub struct ApiKeyAuth<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> ApiKeyAuth<S> {
    pub(super) fn new(inner: S, gate: Gate) -> Self {
        Self {
            inner,
            gate: Arc::new(gate),
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without authentication.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, ResBody> Service<Request<B>> for ApiKeyAuth<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    // Inlined, it makes the future in a place of its own and copies it.
    #[inline(never)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let step = self.gate.authenticate(&mut request);
        match step {
            Step::Admitted(admission) => {
                let completion = Completion::of(&self.gate, &request, admission);
                ResponseFuture::pass(self.inner.call(request), completion)
            }
            Step::Refused(ref refusal) if self.gate.on_refusal == OnRefusal::HandOn => {
                let gate = Arc::clone(&self.gate);
                ResponseFuture::deferred(&gate, refusal, request, &mut self.inner)
            }
            Step::Refused(ref refusal) => ResponseFuture::refused(&self.gate, refusal, &request),
            Step::ByAnother(gate, Ok(admission)) => {
                let completion = Completion::of(&gate, &request, admission);
                ResponseFuture::pass(self.inner.call(request), completion)
            }
            Step::ByAnother(gate, Err(refusal)) if gate.on_refusal == OnRefusal::HandOn => {
                ResponseFuture::deferred(&gate, &refusal, request, &mut self.inner)
            }
            Step::ByAnother(gate, Err(refusal)) => {
                ResponseFuture::refused(&gate, &refusal, &request)
            }
            Step::Pending(verdict, scheme, cache) => {
                let clone = self.inner.clone();
                ResponseFuture::pending(PendingCall {
                    verdict,
                    scheme,
                    cache,
                    request,
                    // The one that said it is ready.
                    service: std::mem::replace(&mut self.inner, clone),
                    gate: Arc::clone(&self.gate),
                })
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyAuth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyAuth")
            .field("inner", &self.inner)
            .field("ring", &self.gate.ring)
            .finish_non_exhaustive()
    }
}
