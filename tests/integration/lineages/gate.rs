//! Behind the layer, a request has exactly one verdict, its own, and the scopes that it needs.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_api_key::{
    ApiKeyLayer, EventKind, Grant, KeyId, RejectionKind, ScopeSet, VerifiedKey, observer_fn,
};

use super::{Done, Steps, await_some, block_on, ring_over};
use crate::support::{send, with_key};

thread_local! {
    /// The positive verdicts that were reported for this thread's request.
    static VERDICTS: Cell<usize> = const { Cell::new(0) };
    /// The number of times that this thread's request has reached the inner service.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// The key that the request presents, for the inner service to compare.
#[derive(Clone, Copy)]
struct Presents(KeyId);

#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert_eq!(VERDICTS.get(), 0, "told when there is an answer");
        CALLS.set(CALLS.get() + 1);
        let Presents(id) = *request.extensions().get().unwrap();
        // A verdict came before the call and left its proof.
        let key: &VerifiedKey = request.extensions().get().unwrap();
        assert_eq!(key.id(), id);
        assert!(key.scopes().contains("write"));
        ready(Ok(Response::new(Full::default())))
    }
}

#[test]
fn invariant_11_the_inner_service_is_called_on_one_verdict_with_the_scopes() {
    const ROUNDS: usize = 100;
    for store in Steps::all() {
        let ring = ring_over(&store);
        let observer = observer_fn(|event| {
            if event.kind() == EventKind::Authenticated {
                VERDICTS.set(VERDICTS.get() + 1);
            }
        });
        let layer = ApiKeyLayer::new(ring.clone())
            .require("write")
            .observer(observer);
        let grant = || Grant::new("alice").scopes(["read", "write"]);
        let first = block_on(ring.issue(grant())).unwrap();
        let key_of = |issued: &tower_api_key::Issued| {
            (issued.record().id(), issued.secret().expose().to_owned())
        };
        // The key of the round, and whether its narrowing has returned.
        let current = Mutex::new((key_of(&first), false));
        let done = Done::default();
        let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|threads| {
            let ending = done.when_dropped();
            for _ in 0..2 {
                threads.spawn(|| {
                    let service = layer.layer(Inner);
                    while done.is_not_yet() {
                        let ((id, key), narrowed) = current.lock().unwrap().clone();
                        let mut request = with_key(&key);
                        request.extensions_mut().insert(Presents(id));
                        VERDICTS.set(0);
                        CALLS.set(0);
                        let response = block_on(send(&service, request));
                        match response.kind() {
                            None => {
                                assert!(!narrowed, "the narrowing had returned");
                                assert_eq!((VERDICTS.get(), CALLS.get()), (1, 1));
                                passed.fetch_add(1, Ordering::AcqRel);
                            }
                            Some(kind) => {
                                let expected =
                                    [RejectionKind::InsufficientScope, RejectionKind::Invalid];
                                assert!(expected.contains(&kind), "{kind:?}");
                                assert_eq!((VERDICTS.get(), CALLS.get()), (0, 0));
                                refused.fetch_add(1, Ordering::AcqRel);
                            }
                        }
                    }
                });
            }
            let read: ScopeSet = "read".parse().unwrap();
            let wait_for_more = |count: &AtomicUsize| {
                let before = count.load(Ordering::Acquire);
                await_some(|| (count.load(Ordering::Acquire) > before).then_some(()));
            };
            for _ in 0..ROUNDS {
                wait_for_more(&passed);
                let id = current.lock().unwrap().0.0;
                block_on(ring.narrow(id, &read)).unwrap();
                current.lock().unwrap().1 = true;
                wait_for_more(&refused);
                let next = block_on(ring.regrant(id, grant())).unwrap();
                *current.lock().unwrap() = (key_of(&next), false);
            }
            drop(ending);
        });
        assert!(passed.into_inner() >= ROUNDS && refused.into_inner() >= ROUNDS);
    }
}
