//! The half of a layer that looks at responses, for handlers that authenticate by a call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::decisions::Decisions;
use crate::middleware::body::ResponseBody;

/// Stands around handlers that call an [`Authenticator`](crate::Authenticator), which refuses every request without it.
///
/// It adds what an [`ApiKeyLayer`](crate::ApiKeyLayer) adds to the responses of requests that were authenticated:
/// `Vary` and `Cache-Control`, the layer's [responder](crate::ApiKeyLayer::responder), and the event that a request was
/// authenticated, once there is a response. Other responses pass as they are. It authenticates nothing, and one is
/// enough for all authenticators.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_api_key::ResponseGuardLayer;
///
/// let stack = ServiceBuilder::new().layer(ResponseGuardLayer::new());
/// # let _ = stack;
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ResponseGuardLayer {
    _private: (),
}

impl ResponseGuardLayer {
    /// The layer, which has no settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for ResponseGuardLayer {
    type Service = ResponseGuard<S>;

    fn layer(&self, inner: S) -> ResponseGuard<S> {
        ResponseGuard { inner }
    }
}

/// The service that [`ResponseGuardLayer`] makes.
#[derive(Clone)]
pub struct ResponseGuard<S> {
    inner: S,
}

impl<S, B, ResBody> Service<Request<B>> for ResponseGuard<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseGuardFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let decisions = Decisions::default();
        request.extensions_mut().insert(decisions.clone());
        ResponseGuardFuture {
            is_head: *request.method() == Method::HEAD,
            response: self.inner.call(request),
            decisions,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ResponseGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseGuard")
            .field("inner", &self.inner)
            .finish()
    }
}

pin_project! {
    /// The response future of [`ResponseGuard`].
    pub struct ResponseGuardFuture<F> {
        #[pin]
        response: F,
        decisions: Decisions,
        is_head: bool,
    }
}

impl<F, ResBody, E> Future for ResponseGuardFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(context))?;
        Poll::Ready(Ok(
            match this.decisions.complete(&mut response, *this.is_head) {
                Some(answer) => answer.map(ResponseBody::rejection),
                None => response.map(ResponseBody::new),
            },
        ))
    }
}

impl<F> fmt::Debug for ResponseGuardFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseGuardFuture")
            .finish_non_exhaustive()
    }
}
