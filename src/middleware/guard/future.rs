//! The guard's response future: passing through, or refused.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;

use crate::middleware::body::ResponseBody;

pin_project! {
    /// The response future of [`RequireScope`](crate::guard::RequireScope).
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Pass { #[pin] response: F },
        Reject { response: Option<Box<Response<Bytes>>> },
    }
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) fn pass(response: F) -> Self {
        Self {
            state: State::Pass { response },
        }
    }

    pub(super) fn reject(response: Box<Response<Bytes>>) -> Self {
        Self {
            state: State::Reject {
                response: Some(response),
            },
        }
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Pass { response } => {
                Poll::Ready(Ok(ready!(response.poll(context))?.map(ResponseBody::new)))
            }
            StateProjection::Reject { response } => {
                let Some(response) = response.take() else {
                    panic!("ResponseFuture polled after it completed");
                };
                Poll::Ready(Ok(response.map(ResponseBody::rejection)))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
