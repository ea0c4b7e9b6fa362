//! The guard that requires a key, on the request path.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use tower_service::Service;

use super::future::ResponseFuture;
use crate::middleware::body::ResponseBody;
use crate::middleware::rejection::{passes_otherwise, proof};

/// Whether something else has authenticated a request.
pub(super) type Otherwise = dyn Fn(&Extensions) -> bool + Send + Sync;

/// The service that [`RequireKeyLayer`](crate::RequireKeyLayer) makes.
#[derive(Clone)]
pub struct RequireKey<S> {
    inner: S,
    otherwise: Option<Arc<Otherwise>>,
}

impl<S> RequireKey<S> {
    pub(super) fn new(inner: S, otherwise: Option<Arc<Otherwise>>) -> Self {
        Self { inner, otherwise }
    }
}

impl<S, B, ResBody> Service<Request<B>> for RequireKey<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let extensions = request.extensions();
        let otherwise = self.otherwise.as_deref();
        let passes = |otherwise: &Otherwise| passes_otherwise(extensions, otherwise);
        if otherwise.is_some_and(passes) {
            return ResponseFuture::pass(self.inner.call(request));
        }
        match proof(extensions, (&request).into()) {
            Ok(_) => ResponseFuture::pass(self.inner.call(request)),
            Err(response) => ResponseFuture::reject(response),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for RequireKey<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireKey")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
