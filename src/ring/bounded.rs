//! Waits for a store that end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::caught::caught;
use crate::store::BoxFuture;

/// An answer that comes in time, or another in its place: where the store is too slow, and where
/// it panics.
pub(super) struct Bounded<T, F> {
    answer: BoxFuture<'static, T>,
    timeout: BoxFuture<'static, ()>,
    otherwise: Option<F>,
}

impl<T, F: FnOnce() -> T> Bounded<T, F> {
    pub(super) fn new(
        answer: BoxFuture<'static, T>,
        timeout: BoxFuture<'static, ()>,
        otherwise: F,
    ) -> Self {
        Self {
            answer,
            timeout,
            otherwise: Some(otherwise),
        }
    }
}

impl<T, F: FnOnce() -> T + Unpin> Future for Bounded<T, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let polled = caught(|| match self.answer.as_mut().poll(context) {
            Poll::Pending => self.timeout.as_mut().poll(context).map(|()| None),
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
        });
        let answer = match polled {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(answer)) => answer,
            None => None,
        };
        match (answer, self.otherwise.take()) {
            (Some(answer), _) => Poll::Ready(answer),
            (None, Some(otherwise)) => Poll::Ready(otherwise()),
            (None, None) => panic!("`Bounded` polled after it completed"),
        }
    }
}
