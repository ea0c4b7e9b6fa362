//! The guard on the request path.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::future::ResponseFuture;
use super::{authorise, report};
use crate::middleware::body::ResponseBody;
use crate::middleware::rejection::Required;
use crate::observe::observed::Observed;

/// The service that [`RequireScopeLayer`](crate::RequireScopeLayer) makes.
#[derive(Clone)]
pub struct RequireScope<S> {
    inner: S,
    required: Arc<Required>,
    observer: Observed,
}

impl<S> RequireScope<S> {
    pub(super) fn new(inner: S, required: Required, observer: Observed) -> Self {
        Self {
            inner,
            required: Arc::new(required),
            observer,
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

    /// The inner service, without the guard.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, ResBody> Service<Request<B>> for RequireScope<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        match authorise(&self.required, request.extensions(), (&request).into()) {
            Ok(()) => ResponseFuture::pass(self.inner.call(request)),
            Err(response) => {
                report(&self.observer, request.extensions(), &response);
                ResponseFuture::reject(response)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for RequireScope<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScope")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
