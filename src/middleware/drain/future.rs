//! The response future: the inner one, and then the rest of a refused body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::Returning;
use super::limits::Limits;
use crate::middleware::rejection::Rejection;

pin_project! {
    /// The response future of [`Drain`](crate::drain::Drain).
    pub struct ResponseFuture<F, B, ResBody> {
        #[pin]
        state: State<F, B, ResBody>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B, ResBody> {
        Pass { #[pin] response: F },
        Watch { #[pin] response: F, returning: Arc<Returning<B>>, limits: Limits },
        Drain { rest: Option<Box<Rest<B, ResBody>>> },
    }
}

/// A refusal that waits for the rest of its request.
struct Rest<B, ResBody> {
    body: B,
    bytes_left: u64,
    timeout: Pin<Box<dyn Future<Output = ()> + Send>>,
    response: Response<ResBody>,
}

impl<F, B, ResBody> ResponseFuture<F, B, ResBody> {
    pub(super) fn new(response: F, returning: Option<Arc<Returning<B>>>, limits: &Limits) -> Self {
        let state = match returning {
            Some(returning) => State::Watch {
                response,
                returning,
                limits: limits.clone(),
            },
            None => State::Pass { response },
        };
        Self { state }
    }
}

impl<F, B, ResBody, E> Future for ResponseFuture<F, B, ResBody>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    B: Body + Unpin,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Pass { response } => return response.poll(context),
                StateProjection::Watch {
                    response,
                    returning,
                    limits,
                } => {
                    let response = ready!(response.poll(context))?;
                    match unread(&response, returning, limits) {
                        Some(body) => State::Drain {
                            rest: Some(Box::new(Rest {
                                body,
                                bytes_left: limits.bytes,
                                timeout: limits.clock.sleep(limits.wait),
                                response,
                            })),
                        },
                        None => return Poll::Ready(Ok(response)),
                    }
                }
                StateProjection::Drain { rest } => {
                    let Some(waiting) = rest else {
                        panic!("ResponseFuture polled after it completed");
                    };
                    ready!(waiting.poll_drained(context));
                    match rest.take() {
                        Some(rest) => return Poll::Ready(Ok(rest.response)),
                        None => unreachable!(),
                    }
                }
            };
            state.set(next);
        }
    }
}

/// The body of a refused request, if it was left unread and is not known to be too long.
fn unread<B: Body, ResBody>(
    response: &Response<ResBody>,
    returning: &Returning<B>,
    limits: &Limits,
) -> Option<B> {
    response.extensions().get::<Rejection>()?;
    returning
        .take()
        .filter(|body| !body.is_end_stream() && body.size_hint().lower() <= limits.bytes)
}

impl<B: Body + Unpin, ResBody> Rest<B, ResBody> {
    /// Reads to the end of the body or to a limit. An error on the way ends it too.
    fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    // A frame without data must not bypass the limit.
                    match self.bytes_left.checked_sub(length.max(1)) {
                        Some(left) => self.bytes_left = left,
                        None => return Poll::Ready(()),
                    }
                }
                Poll::Ready(None | Some(Err(_))) => return Poll::Ready(()),
                Poll::Pending => return self.timeout.as_mut().poll(context),
            }
        }
    }
}

impl<F, B, ResBody> fmt::Debug for ResponseFuture<F, B, ResBody> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
