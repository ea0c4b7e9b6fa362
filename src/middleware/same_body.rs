//! A layer whose responses have the body of the inner service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::body::ResponseBody;

/// Makes the responses of a layer of this crate have the type of body that the inner service has, if that can hold a
/// refusal (`From<Bytes>`), as those of axum and `Full<Bytes>` can.
///
/// A router of axum needs this for a layer that a setting switches: `option_layer` wants the same type of response with
/// the layer and without it. Otherwise the compiler says
///
/// ```text
/// expected `Response<ResponseBody<Body>>`, found `Response<Body>`
/// ```
///
/// Switched off, nothing authenticates: [`VerifiedKey::of`](crate::VerifiedKey::of), its extractors and the guards then
/// refuse every request with 500.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
/// use tower::util::option_layer;
/// use tower_api_key::{ApiKeyLayer, KeyRing, SameBodyLayer, store::MemoryStore};
///
/// # let is_required = true;
/// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
/// let authenticate = is_required.then(|| SameBodyLayer::new(ApiKeyLayer::new(ring)));
/// let router: Router = Router::new()
///     .route("/orders", get(async || "orders"))
///     .layer(option_layer(authenticate));
/// # }
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct SameBodyLayer<L> {
    layer: L,
}

impl<L> SameBodyLayer<L> {
    /// The layer with this change.
    pub fn new(layer: L) -> Self {
        Self { layer }
    }
}

impl<S, L: Layer<S>> Layer<S> for SameBodyLayer<L> {
    type Service = SameBody<L::Service>;

    #[track_caller]
    fn layer(&self, inner: S) -> Self::Service {
        SameBody {
            service: self.layer.layer(inner),
        }
    }
}

/// The service that [`SameBodyLayer`] makes.
#[derive(Clone)]
pub struct SameBody<S> {
    service: S,
}

impl<S, B, ResBody> Service<Request<B>> for SameBody<S>
where
    S: Service<Request<B>, Response = Response<ResponseBody<ResBody>>>,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = SameBodyFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        SameBodyFuture {
            response: self.service.call(request),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for SameBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SameBody")
            .field("service", &self.service)
            .finish()
    }
}

pin_project! {
    /// The response future of [`SameBody`].
    pub struct SameBodyFuture<F> {
        #[pin]
        response: F,
    }
}

impl<F, ResBody, E> Future for SameBodyFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody<ResBody>>, E>>,
    ResBody: From<Bytes>,
{
    type Output = Result<Response<ResBody>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().response.poll(context))?;
        Poll::Ready(Ok(response.map(ResponseBody::into_same)))
    }
}

impl<F> fmt::Debug for SameBodyFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SameBodyFuture").finish_non_exhaustive()
    }
}
