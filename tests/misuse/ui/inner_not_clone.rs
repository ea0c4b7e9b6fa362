use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service};
use tower_api_key::{ApiKeyLayer, KeyRing};

struct NotClone;

impl Service<Request<()>> for NotClone {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Empty::new())))
    }
}

fn serve(ring: KeyRing) {
    let mut service = ApiKeyLayer::new(ring).layer(NotClone);
    let _ = service.call(Request::new(()));
}

fn main() {}
