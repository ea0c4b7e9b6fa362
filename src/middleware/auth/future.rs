//! The response future: passing through, waiting for the store, or refused.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::cache::CacheHeaders;
use super::completion::Completion;
use super::gate::Gate;
use super::search::{Decision, Waiting};
use crate::middleware::body::ResponseBody;
use crate::middleware::rejection::Refused;
use crate::verdict::{Refusal, Scheme};

pin_project! {
    /// The response future of [`ApiKeyAuth`](crate::auth::ApiKeyAuth). It holds the inner service's
    /// future unboxed. Only a request that waits for the store is boxed.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Pass { #[pin] response: S::Future, completion: Completion },
        Pending { call: Option<Box<PendingCall<S, B>>> },
        Refuse { refused: Option<Refused>, is_head: bool },
        Reject { response: Option<Response<Bytes>> },
    }
}

/// A request that waits for the store's answer, with the service that is ready for it.
pub(super) struct PendingCall<S, B> {
    pub(super) verdict: Waiting,
    pub(super) scheme: Scheme,
    pub(super) cache: CacheHeaders,
    pub(super) request: Request<B>,
    pub(super) service: S,
    pub(super) gate: Arc<Gate>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(super) fn pass(response: S::Future, completion: Completion) -> Self {
        Self {
            state: State::Pass {
                response,
                completion,
            },
        }
    }

    pub(super) fn pending(call: PendingCall<S, B>) -> Self {
        Self {
            state: State::Pending {
                call: Some(Box::new(call)),
            },
        }
    }

    /// A request that is refused, or goes on with its refusal.
    #[cold]
    pub(super) fn deferred(
        gate: &Arc<Gate>,
        refusal: &Refusal,
        request: Request<B>,
        service: &mut S,
    ) -> Self {
        Self {
            state: State::deferred(gate, refusal, request, service),
        }
    }

    /// A request that is refused.
    #[cold]
    pub(super) fn refused(gate: &Gate, refusal: &Refusal, request: &Request<B>) -> Self {
        Self {
            state: State::refused(gate, refusal, request),
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Pass {
                    response,
                    completion,
                } => {
                    // A response that is left alone has no place but that of the answer.
                    if completion.is_nothing() {
                        let answer = ready!(response.poll(context));
                        return Poll::Ready(answer.map(|answer| answer.map(ResponseBody::new)));
                    }
                    let mut response = ready!(response.poll(context))?;
                    return Poll::Ready(Ok(match completion.complete(&mut response) {
                        None => response.map(ResponseBody::new),
                        Some(answer) => answer.map(ResponseBody::rejection),
                    }));
                }
                StateProjection::Pending { call } => {
                    let Some(waiting) = call else {
                        panic!("ResponseFuture polled after it panicked");
                    };
                    let decision = ready!(waiting.verdict.poll(context));
                    match call.take() {
                        Some(waiting) => waiting.resume(decision),
                        None => unreachable!(),
                    }
                }
                StateProjection::Refuse { refused, is_head } => {
                    let Some(refused) = refused.take() else {
                        panic!("{COMPLETED}");
                    };
                    return Poll::Ready(Ok(refused.respond(*is_head, ResponseBody::rejection)));
                }
                StateProjection::Reject { response } => {
                    let Some(response) = response.take() else {
                        panic!("{COMPLETED}");
                    };
                    return Poll::Ready(Ok(response.map(ResponseBody::rejection)));
                }
            };
            state.set(next);
        }
    }
}

const COMPLETED: &str = "ResponseFuture polled after it completed";

impl<S, B> PendingCall<S, B>
where
    S: Service<Request<B>>,
{
    fn resume(mut self, decision: Decision) -> State<S, B> {
        let (scheme, cache) = (self.scheme, self.cache);
        match self.gate.settle(decision, scheme, cache, &mut self.request) {
            (gate, Ok(admission)) => State::Pass {
                completion: Completion::of(&gate, &self.request, admission),
                response: self.service.call(self.request),
            },
            (gate, Err(refusal)) => {
                State::deferred(&gate, &refusal, self.request, &mut self.service)
            }
        }
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<B>>,
{
    #[inline]
    fn refused(gate: &Gate, refusal: &Refusal, request: &Request<B>) -> Self {
        gate.tell(refusal);
        match gate.refused(refusal, request) {
            Some(refused) => Self::Refuse {
                refused: Some(refused),
                is_head: *request.method() == Method::HEAD,
            },
            None => Self::Reject {
                response: Some(gate.respond(refusal, request)),
            },
        }
    }

    fn deferred(
        gate: &Arc<Gate>,
        refusal: &Refusal,
        mut request: Request<B>,
        service: &mut S,
    ) -> Self {
        if !gate.defers(refusal, &request) {
            return Self::refused(gate, refusal, &request);
        }
        let deferred = gate.defer(refusal, &mut request);
        Self::Pass {
            completion: Completion::deferred(gate, &request, deferred),
            response: service.call(request),
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
