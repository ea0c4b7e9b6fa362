//! A request's body that goes back to the layer when it is dropped before its end.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// The request body that the inner service of a [`DrainLayer`](crate::DrainLayer) gets: the original
/// one, unchanged. If it is dropped before its end, the layer may read on.
pub struct DrainBody<B> {
    /// `None` only while it is dropped.
    body: Option<B>,
    /// Where the body goes, unless nothing is left to read.
    back: Option<Arc<Returning<B>>>,
    /// Whether the client sends nothing until the body is read.
    awaits_leave: bool,
}

/// A place for a body that was left unread.
pub(super) struct Returning<B>(Mutex<Option<B>>);

impl<B> Returning<B> {
    /// The body, if it was dropped with something left to read.
    pub(super) fn take(&self) -> Option<B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<B: Body> DrainBody<B> {
    pub(super) fn new(body: B, awaits_leave: bool) -> (Self, Option<Arc<Returning<B>>>) {
        let back = (!body.is_end_stream()).then(|| Arc::new(Returning(Mutex::new(None))));
        let this = Self {
            body: Some(body),
            back: back.clone(),
            awaits_leave,
        };
        (this, back)
    }
}

impl<B: Body + Unpin> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        this.awaits_leave = false;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            this.back = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B> Drop for DrainBody<B> {
    fn drop(&mut self) {
        if let Some(back) = self.back.take()
            && !self.awaits_leave
        {
            let mut place = back.0.lock().unwrap_or_else(PoisonError::into_inner);
            *place = self.body.take();
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for DrainBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainBody")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
