//! A service that tracks its readiness.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::Service;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure(pub(super) &'static str);

/// The shared state of one service's clones.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) clones: AtomicUsize,
    was_ready: Mutex<Vec<usize>>,
    was_called: Mutex<Vec<usize>>,
    pub(super) readiness: Mutex<Option<Poll<Result<(), Failure>>>>,
    pub(super) fails: Mutex<Option<Failure>>,
}

/// A service whose clones each have a number and their own readiness, and which panics if it is
/// called without having been ready.
pub(super) struct Tracked {
    number: usize,
    pub(super) ready: bool,
    shared: Arc<Shared>,
}

impl Tracked {
    pub(super) fn new() -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        let service = Self {
            number: 0,
            ready: false,
            shared: Arc::clone(&shared),
        };
        (service, shared)
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        Self {
            number: self.shared.clones.fetch_add(1, Ordering::Relaxed) + 1,
            ready: false,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<B> Service<Request<B>> for Tracked {
    type Response = Response<Full<Bytes>>;
    type Error = Failure;
    type Future = Ready<Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(readiness) = *self.shared.readiness.lock().unwrap() {
            return readiness;
        }
        if !std::mem::replace(&mut self.ready, true) {
            self.shared.was_ready.lock().unwrap().push(self.number);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(self.ready, "clone {} was called unready", self.number);
        self.ready = false;
        self.shared.was_called.lock().unwrap().push(self.number);
        ready(match *self.shared.fails.lock().unwrap() {
            Some(failure) => Err(failure),
            None => Ok(Response::new(Full::from("inner"))),
        })
    }
}

impl Shared {
    pub(super) fn was_ready(&self) -> Vec<usize> {
        self.was_ready.lock().unwrap().clone()
    }

    pub(super) fn was_called(&self) -> Vec<usize> {
        self.was_called.lock().unwrap().clone()
    }
}
