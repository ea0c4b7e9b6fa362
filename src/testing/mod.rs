//! What the tests of a service need. Needs the feature `testing`.
//!
//! - [`verified`] and [`anonymous`] are what a layer leaves in the extensions of a request, for tests of one
//!   handler.
//! - [`rejection`] and [`invalid`] are rejections of each kind, for tests of a
//!   [responder](crate::ApiKeyLayer::responder) or of an outer layer.
//! - [`event`] and [`events`] are events of each kind, for tests of an [`Observer`](crate::Observer). A
//!   [`Recorder`] is an observer that keeps the events that it receives.
//! - A [`RecordingStore`] keeps the changes that the operations of a ring make, for tests of a
//!   [store](crate::store::KeyStore).
//! - A [`Matrix`] sends each route of a stack every wrong request and the right one.
//!
//! ```
//! use http::{Request, StatusCode};
//! use tower_api_key::{Grant, Rejection, VerifiedKey, testing};
//!
//! fn greet(request: &Request<()>) -> Result<String, Rejection> {
//!     Ok(format!("hello {}", VerifiedKey::of(request.extensions())?.subject()))
//! }
//!
//! let mut request = Request::new(());
//! request.extensions_mut().insert(testing::verified(Grant::new("alice").scopes("orders:read")));
//! assert_eq!(greet(&request).unwrap(), "hello alice");
//!
//! let mut request = Request::new(());
//! request.extensions_mut().insert(testing::anonymous());
//! assert_eq!(greet(&request).unwrap_err().status(), StatusCode::UNAUTHORIZED);
//! ```
//!
//! # In a build for production
//!
//! Put the feature into the dev-dependencies. Cargo then leaves it out of a build without tests. It is in such a
//! build all the same if another package of the build names it as a normal dependency, or if one command builds the
//! service together with its tests, examples or benches (`cargo build --all-targets`).
//!
//! That is harmless. The feature only adds this module and `ManualClock`: no other item behaves in another way, and no
//! request reaches either of them. [`verified`] does what any code can do without the feature: it issues a key
//! of a ring of its own, in memory, and verifies it. The key is in no store of the service, and its realm is `test`.

mod at_once;
mod event;
mod matrix;
mod proof;
mod recorder;
mod recording_store;
mod refusal;

pub use event::{event, events};
pub use matrix::{Fault, Matrix, MatrixError, MatrixKeys, Row, WantedKey};
pub use proof::{anonymous, verified};
pub use recorder::{Recorded, Recorder};
pub use recording_store::RecordingStore;
pub use refusal::{invalid, rejection};
