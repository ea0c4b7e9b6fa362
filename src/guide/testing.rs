//! Testing a service: one handler, the whole stack, what is reported, and the passing of time.
//!
//! The feature `testing` has what the tests need. It belongs in the dev-dependencies, next to the dependency without
//! it. Its module `testing` says what it means if a build for production has it too: nothing changes.
//!
//! ```toml
//! [dev-dependencies]
//! tower-api-key = { path = "../tower-api-key", features = ["testing"] }
//! ```
//!
//! # One handler
//!
//! A handler needs a key, and no layer. `testing::verified` issues one in memory and verifies it, so a grant that no
//! ring would accept is a panic. `testing::anonymous` is what an optional layer leaves in a request without a key.
//!
//! ```
//! use http::Request;
//! use tower_api_key::{Grant, Rejection, RejectionKind, Requirement, VerifiedKey, testing};
//!
//! fn cancel(request: &Request<()>) -> Result<String, Rejection> {
//!     let key = VerifiedKey::of(request.extensions())?;
//!     if request.uri().path().starts_with("/orders/big/") {
//!         key.require(&Requirement::scope("orders:big").expect("a scope"))?;
//!     }
//!     Ok(format!("cancelled by {}", key.subject()))
//! }
//!
//! let request = |path: &str| Request::delete(path).body(()).unwrap();
//! let alice = testing::verified(Grant::new("alice").scopes("orders:write"));
//!
//! let mut small = request("/orders/small/1");
//! small.extensions_mut().insert(alice.clone());
//! assert_eq!(cancel(&small).unwrap(), "cancelled by alice");
//!
//! let mut big = request("/orders/big/1");
//! big.extensions_mut().insert(alice);
//! assert_eq!(cancel(&big).unwrap_err().kind(), RejectionKind::InsufficientScope);
//!
//! let mut nobody = request("/orders/small/1");
//! nobody.extensions_mut().insert(testing::anonymous());
//! assert_eq!(cancel(&nobody).unwrap_err().kind(), RejectionKind::Missing);
//! ```
//!
//! A handler of axum takes the key as an argument: `cancel(testing::verified(grant)).await`.
//!
//! # The whole stack
//!
//! A handler that works does not say that its route is guarded. `testing::Matrix` sends each route no key, two keys,
//! malformed, unknown, expired and revoked keys, keys without each of the scopes, keys in the URL, other methods, other
//! spellings of the path, and the right request. A [`RouteTable`](crate::RouteTable) says what is expected. If the layer
//! has a table, it is that one. If guards stand at the routes, write one for the test:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Method, Request, Response};
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
//! use tower_api_key::{ApiKeyLayer, KeyRing, ResponseBody, RouteTable, store::MemoryStore};
//! use tower_api_key::testing::{Matrix, Row};
//!
//! type App = BoxCloneService<Request<()>, Response<ResponseBody<Empty<Bytes>>>, Infallible>;
//!
//! /// The stack, which `main` serves.
//! fn app(ring: KeyRing) -> App {
//!     let layer = ApiKeyLayer::new(ring);
//!     let handler = service_fn(|_| async { Ok(Response::new(Empty::new())) });
//!     let read = layer.clone().require("orders:read").layer(handler);
//!     let write = layer.layer(handler); // The scope was forgotten.
//!     let router = service_fn(move |request: Request<()>| {
//!         let is_read = [Method::GET, Method::HEAD].contains(request.method());
//!         if is_read { read.clone() } else { write.clone() }.oneshot(request)
//!     });
//!     router.boxed_clone()
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let table = RouteTable::builder()
//!     .get("/orders", "orders:read")
//!     .post("/orders", "orders:write")
//!     .build()?;
//!
//! let error = Matrix::new(ring.clone(), table).check(app(ring)).await.unwrap_err();
//! assert!(error.to_string().contains(
//!     "POST /orders: orders:write\n  \
//!      a key with other scopes (realm acme, no scope): expected 403 insufficient_scope, answered 200"
//! ));
//! // The other methods reach the handler too.
//! assert!(error.faults().iter().any(|fault| fault.row() == Row::OtherMethod));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! In a test, `unwrap` shows the error: a line for each kind of request that was answered otherwise. The function that
//! builds the stack takes the ring, so that the test builds it over a `MemoryStore`. A router of axum is checked as
//! `router.into_service::<axum::body::Body>()`. `Matrix::with_cors` is for a stack with a `CorsLayer` outside, and
//! `Matrix::grpc` for one of tonic.
//!
//! | the stack has | the keys of the matrix |
//! |---|---|
//! | a ring | the ring, which issues each key to a subject of its own |
//! | a ring that knows its [owners](crate::KeyRingBuilder::owners) | `MatrixKeys::issued_to(ring, "alice")`, for an owner with all scopes |
//! | a [`Verifier`](crate::Verifier) over a table | `MatrixKeys::given(verifier, …)`, new rows of a table that is made for the test |
//!
//! # Responders and outer layers
//!
//! `testing::rejection` makes a rejection of each kind, and `testing::invalid` one of each cause. A responder is to
//! answer all causes alike:
//!
//! ```
//! use bytes::Bytes;
//! use http::Response;
//! use tower_api_key::{InvalidCause, Rejection, RejectionKind, testing};
//!
//! fn responder(rejection: &Rejection) -> Response<Bytes> {
//!     let mut response = Response::new(rejection.detail().to_owned().into());
//!     *response.status_mut() = rejection.status();
//!     response
//! }
//!
//! let [revoked, unknown] = [InvalidCause::Revoked, InvalidCause::Unknown].map(testing::invalid);
//! assert_eq!(responder(&revoked).body(), responder(&unknown).body());
//! assert_eq!(responder(&testing::rejection(RejectionKind::StoreUnavailable)).status(), 503);
//! ```
//!
//! # Observers
//!
//! `testing::event` makes an event of a kind, and `testing::events` one of each. A `testing::Recorder` is an observer
//! that keeps the events of a ring or a layer:
//!
//! ```
//! use tower_api_key::testing::{self, Recorder};
//! use tower_api_key::{Event, EventKind, Grant, KeyRing, RevocationReason, store::MemoryStore};
//!
//! fn is_alarm(event: &Event<'_>) -> bool {
//!     matches!(event.kind(), EventKind::Reuse | EventKind::KeyInUrl)
//! }
//!
//! assert!(is_alarm(&testing::event(EventKind::Reuse)));
//! assert_eq!(testing::events().filter(is_alarm).count(), 2);
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let recorder = Recorder::new();
//! let ring = KeyRing::builder("acme").observer(recorder.clone()).build(MemoryStore::new())?;
//! ring.issue(Grant::new("alice")).await?;
//! ring.revoke_subject("alice", RevocationReason::CessationOfOperation).await?;
//! let reason = RevocationReason::CessationOfOperation;
//! assert_eq!(recorder.kinds(), [EventKind::Issued, EventKind::Revoked { reason }]);
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Time
//!
//! No test has to wait. A ring reads its clock, and a `ManualClock` is moved by hand:
//!
//! ```
//! use std::time::Duration;
//! use tower_api_key::{Grant, KeyRing, ManualClock, Timestamp, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! let ring = KeyRing::builder("acme").clock(clock.clone()).build(MemoryStore::new())?;
//! let hour = Duration::from_secs(60 * 60);
//! let issued = ring.issue(Grant::new("alice").expires_in(hour)).await?;
//!
//! clock.advance(hour);
//! assert!(ring.verify(issued.secret().expose().as_bytes()).await.is_err());
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! # A store of your own
//!
//! The package `tower-api-key-contract` has the suite, and its guide a store that passes it. For a unit test of one
//! method, a `testing::RecordingStore` keeps the changes that the operations of a ring make.
