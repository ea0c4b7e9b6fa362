//! Requires scopes of a request that an [`ApiKeyLayer`](crate::ApiKeyLayer) further out has
//! authenticated.
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderValue, Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RequireScopeLayer, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme_live").realm("orders").build(MemoryStore::new())?;
//! let reader = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//! let writer = ring.issue(Grant::new("bob").scopes(["orders:write"])).await?;
//!
//! let service = ServiceBuilder::new()
//!     .layer(ApiKeyLayer::new(ring))
//!     .layer(RequireScopeLayer::new("orders:write"))
//!     .service(tower::service_fn(|_: Request<()>| async {
//!         Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
//!     }));
//!
//! for (issued, status) in [(writer, StatusCode::OK), (reader, StatusCode::FORBIDDEN)] {
//!     let mut request = Request::new(());
//!     let value = HeaderValue::from_str(issued.secret().expose())?;
//!     request.headers_mut().insert("x-api-key", value);
//!     let response = service.clone().oneshot(request).await?;
//!     assert_eq!(response.status(), status);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod future;
mod key_layer;
mod key_service;
mod layer;
pub mod routes;
mod service;

pub use future::ResponseFuture;
pub use key_layer::RequireKeyLayer;
pub use key_service::RequireKey;
pub use layer::RequireScopeLayer;
pub use service::RequireScope;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Extensions, Response};

use crate::middleware::rejection::{Head, Rejection, Required, proof};
use crate::observe::event::{Event, EventKind};
use crate::observe::observed::Observed;
use crate::verdict::VerifiedKey;

/// Whether a request may pass, and the response if it may not.
#[inline]
fn authorise(
    required: &Required,
    extensions: &Extensions,
    request: Head<'_>,
) -> Result<(), Box<Response<Bytes>>> {
    let key = proof(extensions, request)?;
    if required.is_met_by(key) {
        return Ok(());
    }
    // Only the authenticating layer knows which headers carry keys.
    let vary = HeaderValue::from_static("*");
    let response = required.refuse(key, &vary, None, request);
    Err(Box::new(Rejection::of_a_guard(response)))
}

/// Notifies the guard's own observer of a refusal. The layer further out notifies its own.
#[cold]
fn report(observer: &Observed, extensions: &Extensions, response: &Response<Bytes>) {
    let Some(rejection) = response.extensions().get::<Rejection>() else {
        return;
    };
    let kind = EventKind::Rejected {
        kind: rejection.kind(),
        cause: None,
    };
    observer.tell(|| match extensions.get::<VerifiedKey>() {
        Some(key) => Event::about(kind, key.record()),
        None => Event::without_record(kind, None, None),
    });
}
