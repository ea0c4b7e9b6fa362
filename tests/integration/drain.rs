//! Rule 17: a drain reads on only if that lets a refusal arrive, and only within its bounds.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::drain::DrainBody;
use tower_api_key::{ApiKeyLayer, DrainLayer, ManualClock, RequireScopeLayer};

use crate::support::{Inner, START, X_API_KEY, key, poll_once, ring, send};

const FRAME: &[u8] = &[b'x'; 100];

/// A body with this many frames, which counts how often it was polled, and may hang after them.
#[derive(Clone)]
struct Upload {
    frames: usize,
    frame: &'static [u8],
    then: Then,
    length: Option<u64>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Ends,
    Hangs,
    Fails,
}

impl Upload {
    fn new(frames: usize, then: Then) -> Self {
        Self {
            frames,
            frame: FRAME,
            then,
            length: None,
            asked: Arc::new(AtomicUsize::new(0)),
        }
    }

    fn of_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    fn of_empty_frames(mut self) -> Self {
        self.frame = b"";
        self
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(left) = self.frames.checked_sub(1) {
            self.frames = left;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.frame)))));
        }
        match self.then {
            Then::Ends => Poll::Ready(None),
            Then::Hangs => Poll::Pending,
            Then::Fails => Poll::Ready(Some(Err("the client hung up"))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn drain(clock: &ManualClock) -> DrainLayer {
    DrainLayer::new()
        .max_bytes(1_000)
        .max_wait(Duration::from_secs(5))
        .clock(clock.clone())
}

fn post<B>(body: B) -> Request<B> {
    Request::post("/upload").body(body).unwrap()
}

#[tokio::test]
async fn r17_a_refused_body_is_read_to_its_end_within_the_bound() {
    let clock = ManualClock::new(START);
    let inner = Inner::new();
    let service = drain(&clock).layer(ApiKeyLayer::new(ring()).layer(inner.clone()));
    // A body of ten frames uses up the bound. The eleventh poll finds its end.
    for (frames, then, asked) in [
        (0, Then::Ends, 1),
        (1, Then::Ends, 2),
        (10, Then::Ends, 11),
        (11, Then::Ends, 11),
        (1_000_000, Then::Ends, 11),
        (3, Then::Fails, 4),
    ] {
        let body = Upload::new(frames, then);
        let response = send(&service, post(body.clone())).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{frames}");
        assert_eq!(body.asked(), asked, "{frames}");
    }
    let body = Upload::new(1_000_000, Then::Ends).of_empty_frames();
    let response = send(&service, post(body.clone())).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(body.asked(), 1_001);
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r17_a_drain_waits_no_longer_than_it_may() {
    let clock = ManualClock::new(START);
    let service = drain(&clock).layer(ApiKeyLayer::new(ring()).layer(Inner::new()));
    let body = Upload::new(3, Then::Hangs);
    let mut response = Box::pin(send(&service, post(body.clone())));
    assert!(poll_once(&mut response).is_pending());
    assert_eq!(body.asked(), 4);
    clock.advance(Duration::from_secs(4));
    assert!(poll_once(&mut response).is_pending());
    clock.advance(Duration::from_secs(1));
    assert_eq!(response.await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn r17_a_body_that_says_that_it_is_too_long_is_not_read() {
    let clock = ManualClock::new(START);
    let service = drain(&clock).layer(ApiKeyLayer::new(ring()).layer(Inner::new()));
    for (length, asked) in [(1_000, 11), (1_001, 0), (u64::MAX, 0)] {
        let body = Upload::new(10, Then::Ends).of_length(length);
        let response = send(&service, post(body.clone())).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{length}");
        assert_eq!(body.asked(), asked, "{length}");
    }
}

#[tokio::test]
async fn r17_a_body_that_waits_for_leave_is_not_read() {
    let clock = ManualClock::new(START);
    let service = drain(&clock).layer(ApiKeyLayer::new(ring()).layer(Inner::new()));
    let body = Upload::new(3, Then::Ends);
    let mut request = post(body.clone());
    let expect = http::HeaderValue::from_static("100-continue");
    request.headers_mut().insert("expect", expect);
    let response = send(&service, request).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(body.asked(), 0);
}

#[tokio::test]
async fn r17_every_refusal_further_in_is_drained_and_nothing_else() {
    let clock = ManualClock::new(START);
    let ring = ring();
    let key = key(&ring, "read").await;
    let with_key = |body| {
        let mut request = post(body);
        request
            .headers_mut()
            .insert(X_API_KEY, key.parse().unwrap());
        request
    };
    let guarded = ServiceBuilder::new()
        .layer(drain(&clock))
        .layer(ApiKeyLayer::new(ring.clone()))
        .layer(RequireScopeLayer::new("write"))
        .service(Inner::new());
    let body = Upload::new(3, Then::Ends);
    let response = send(&guarded, with_key(body.clone())).await;
    assert_eq!(response.status, StatusCode::FORBIDDEN);
    assert_eq!(body.asked(), 4);

    // The body of an accepted request belongs to the inner service, which may also leave it unread.
    let accepting = drain(&clock).layer(ApiKeyLayer::new(ring).layer(Inner::new()));
    let body = Upload::new(3, Then::Hangs);
    let response = send(&accepting, with_key(body.clone())).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(body.asked(), 0);

    // A 401 that did not come from this crate is not changed.
    let other = service_fn(|_: Request<DrainBody<Upload>>| async {
        let response = Response::builder().status(StatusCode::UNAUTHORIZED);
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let body = Upload::new(3, Then::Hangs);
    let response = send(&drain(&clock).layer(other), post(body.clone())).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(body.asked(), 0);
}

#[tokio::test]
async fn r17_a_body_that_was_read_in_part_is_read_on_and_one_that_was_read_is_not() {
    let clock = ManualClock::new(START);
    let guard = RequireScopeLayer::new("read").layer(Inner::new());
    let reading = |frames: usize| {
        let guard = guard.clone();
        service_fn(move |request: Request<DrainBody<Upload>>| {
            let guard = guard.clone();
            async move {
                let (parts, mut body) = request.into_parts();
                for _ in 0..frames {
                    let _ = body.frame().await;
                }
                guard.oneshot(Request::from_parts(parts, body)).await
            }
        })
    };
    // Allowed, because something was read.
    for (read, expect) in [(1, true), (2, false)] {
        let body = Upload::new(3, Then::Ends);
        let mut request = post(body.clone());
        if expect {
            let expect = http::HeaderValue::from_static("100-continue");
            request.headers_mut().insert("expect", expect);
        }
        let response = send(&drain(&clock).layer(reading(read)), request).await;
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body.asked(), 4);
    }
    // Three frames and the end, or an error: the body is not polled after that.
    for then in [Then::Ends, Then::Fails] {
        let body = Upload::new(3, then);
        send(&drain(&clock).layer(reading(4)), post(body.clone())).await;
        assert_eq!(body.asked(), 4);
    }
}

#[tokio::test]
async fn the_inner_service_reads_the_body_as_it_came() {
    let clock = ManualClock::new(START);
    let echo = service_fn(|request: Request<DrainBody<Full<Bytes>>>| async {
        assert_eq!(request.body().size_hint().exact(), Some(5));
        assert!(!request.body().is_end_stream());
        let bytes = request.into_body().collect().await?.to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(bytes)))
    });
    let response = send(&drain(&clock).layer(echo), post(Full::from("hello"))).await;
    assert_eq!(response.body, "hello");
}

#[tokio::test]
async fn r17_the_service_that_was_ready_is_the_one_that_is_called() {
    /// Panics if it is called before it has reported that it is ready. A clone has not been ready yet.
    #[derive(Default)]
    struct Strict {
        ready: bool,
    }

    impl Clone for Strict {
        fn clone(&self) -> Self {
            Self::default()
        }
    }

    impl Service<Request<DrainBody<Upload>>> for Strict {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<DrainBody<Upload>>) -> Self::Future {
            assert!(
                std::mem::take(&mut self.ready),
                "called before it was ready"
            );
            std::future::ready(Ok(Response::new(Full::default())))
        }
    }

    let clock = ManualClock::new(START);
    let mut service = drain(&clock).layer(Strict::default());
    for _ in 0..2 {
        let ready = ServiceExt::<Request<Upload>>::ready(&mut service);
        let response = ready.await.unwrap().call(post(Upload::new(3, Then::Ends)));
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    }
}
