//! A service as something to call with one request after another.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;

/// The inner service of all candidates: it drops the request and answers 200.
#[derive(Debug, Clone)]
pub struct Inner;

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"ok")))))
    }
}

/// A service of requests with a body of any type, which can be part of a server.
pub trait Plain<B>:
    Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S, B> Plain<B> for S where
    S: Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// A service without its type.
pub trait Subject: Send {
    /// Serves one request, drops the response, and returns its status.
    fn run(&mut self, request: Request<()>) -> StatusCode;

    /// Serves one request and returns the head of the response.
    fn answer(&mut self, request: Request<()>) -> Parts;
}

struct Served<S>(S);

/// The service without its type.
pub fn subject<S, B>(service: S) -> Box<dyn Subject>
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Send + 'static,
{
    Box::new(Served(service))
}

impl<S, B> Served<S>
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    fn respond(&mut self, request: Request<()>) -> Response<B> {
        let mut context = Context::from_waker(Waker::noop());
        assert!(self.0.poll_ready(&mut context).is_ready());
        let Ok(response) = now(self.0.call(request));
        response
    }
}

impl<S, B> Subject for Served<S>
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Send,
{
    fn run(&mut self, request: Request<()>) -> StatusCode {
        let response = black_box(self.respond(request));
        response.status()
    }

    fn answer(&mut self, request: Request<()>) -> Parts {
        self.respond(request).into_parts().0
    }
}

/// The output of a future that is ready at the first poll, as every future in memory is.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory answers at once"),
    }
}
