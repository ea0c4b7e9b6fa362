//! The service that passes its inner service a body that comes back.

use std::fmt;
use std::task::{Context, Poll};

use http::header::EXPECT;
use http::{Request, Response};
use tower_service::Service;

use super::body::DrainBody;
use super::future::ResponseFuture;
use super::limits::Limits;

/// The service that [`DrainLayer`](crate::DrainLayer) makes.
#[derive(Clone)]
pub struct Drain<S> {
    inner: S,
    limits: Limits,
}

impl<S> Drain<S> {
    pub(super) fn new(inner: S, limits: Limits) -> Self {
        Self { inner, limits }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without the drain.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, ResBody> Service<Request<B>> for Drain<S>
where
    S: Service<Request<DrainBody<B>>, Response = Response<ResBody>>,
    B: http_body::Body + Unpin,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B, ResBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let awaits_leave = request.headers().contains_key(EXPECT);
        let (parts, body) = request.into_parts();
        let (body, returning) = DrainBody::new(body, awaits_leave);
        let response = self.inner.call(Request::from_parts(parts, body));
        ResponseFuture::new(response, returning, &self.limits)
    }
}

impl<S: fmt::Debug> fmt::Debug for Drain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
