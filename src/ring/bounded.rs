//! Waits for a store that end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::store::{BoxFuture, StoreError};
use crate::support::caught::caught;

/// The answer of a store that comes in time, or why there is none.
pub(super) struct Bounded<A> {
    answer: A,
    timeout: BoxFuture<'static, ()>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Late,
    Panicked,
}

impl Missing {
    /// The failure of a store that was given this long.
    pub(super) fn failure(self, longest: Duration) -> StoreError {
        match self {
            Self::Late => StoreError::unavailable(format!(
                "the store gave no answer within {} ms",
                longest.as_millis()
            )),
            Self::Panicked => StoreError::unavailable("the store panicked"),
        }
    }
}

impl<A: Future + Unpin> Bounded<A> {
    pub(super) fn new(answer: A, timeout: BoxFuture<'static, ()>) -> Self {
        Self { answer, timeout }
    }
}

impl<A: Future + Unpin> Future for Bounded<A> {
    type Output = Result<A::Output, Missing>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = caught(|| match Pin::new(&mut self.answer).poll(context) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => {
                let timeout = self.timeout.as_mut().poll(context);
                timeout.map(|()| Err(Missing::Late))
            }
        });
        polled.unwrap_or(Poll::Ready(Err(Missing::Panicked)))
    }
}
