//! The response body: the inner service's, or a rejection's few bytes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of every response that leaves a layer of this crate: the inner service's as it
    /// is, or a rejection's.
    ///
    /// It requires only `Data = Bytes` of the inner body. [`SameBodyLayer`](crate::SameBodyLayer) turns it into that
    /// again. If the compiler expects `Response<ResponseBody<Body>>` and has found `Response<Body>`, wrap the layer in
    /// it: `option_layer` needs one type with the layer and without it.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProjection]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Rejection { bytes: Bytes },
    }
}

impl<B> ResponseBody<B> {
    /// Wraps a body as it is, for routers that mix responses from behind a layer with others.
    pub fn new(body: B) -> Self {
        Self {
            kind: Kind::Inner { body },
        }
    }

    /// The body in the type of the inner service's.
    pub(crate) fn into_same(self) -> B
    where
        B: From<Bytes>,
    {
        match self.kind {
            Kind::Inner { body } => body,
            Kind::Rejection { bytes } => B::from(bytes),
        }
    }

    pub(crate) fn rejection(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Rejection { bytes },
        }
    }
}

impl<B> Default for ResponseBody<B> {
    /// The empty body, which layers such as CORS and timeouts answer with.
    fn default() -> Self {
        Self::rejection(Bytes::new())
    }
}

impl<B> http_body::Body for ResponseBody<B>
where
    B: http_body::Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Inner { body } => body.poll_frame(context),
            KindProjection::Rejection { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProjection::Rejection { bytes } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Rejection { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Rejection { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
