//! Authenticates every request before the inner service sees it.
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderValue, Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use tower::{Layer, Service, ServiceExt};
//! use tower_api_key::{ApiKeyLayer, Grant, KeyRing, VerifiedKey, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme_live").realm("orders").build(MemoryStore::new())?;
//! let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//!
//! let inner = tower::service_fn(|request: Request<()>| async move {
//!     let key = VerifiedKey::of(request.extensions()).expect("authenticated");
//!     assert_eq!(key.subject(), "alice");
//!     assert!(!request.headers().contains_key("x-api-key"));
//!     Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
//! });
//! let mut service = ApiKeyLayer::new(ring).require("orders:read").layer(inner);
//!
//! // Accepted: the key is valid and carries the scope.
//! let mut request = Request::new(());
//! let value = HeaderValue::from_str(issued.secret().expose())?;
//! request.headers_mut().insert("x-api-key", value);
//! let response = service.ready().await?.call(request).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//!
//! // Rejected: there is no key, and the inner service is not called.
//! let response = service.ready().await?.call(Request::new(())).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(response.headers()["www-authenticate"], "ApiKey realm=\"orders\"");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod attribution;
mod authenticator;
mod cache;
mod completion;
mod decisions;
#[cfg(feature = "openapi")]
mod documented;
mod future;
mod gate;
mod layer;
mod lifetime;
mod other_ring;
mod outcome;
mod prepare;
mod refusing;
mod reporting;
mod response_guard;
mod rings;
mod search;
mod service;
mod several;

pub use authenticator::Authenticator;
#[cfg(feature = "openapi")]
pub(crate) use documented::Documented;
pub use future::ResponseFuture;
pub use layer::ApiKeyLayer;
pub use response_guard::{ResponseGuard, ResponseGuardFuture, ResponseGuardLayer};
pub use service::ApiKeyAuth;
