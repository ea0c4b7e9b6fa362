//! Reads what is left of a refused request's body, so that the refusal arrives.
//!
//! A refusal is made from the head of a request, and the body is left unread. A server can then no
//! longer use an HTTP/1.1 connection, and hyper closes it. If bytes of the upload are still on their
//! way, the operating system answers them with a reset, which can destroy the response before the client
//! has read it. The client reports a broken connection instead of the 401, and a proxy reports a 502.
//! [`DrainLayer`] reads on for a bounded number of bytes and a bounded time before it returns the
//! refusal.
//!
//! It is a separate layer, not a part of [`ApiKeyLayer`](crate::ApiKeyLayer), because it has costs that
//! not every service wants: one allocation for each request with a body, and for a stranger the right to
//! send [`max_bytes`](DrainLayer::max_bytes) that are discarded.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_api_key::{ApiKeyLayer, DrainLayer, KeyRing, drain::DrainBody, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme_live").build(MemoryStore::new())?;
//! let mut service = ServiceBuilder::new()
//!     // Outside every layer of this crate that refuses.
//!     .layer(DrainLayer::new())
//!     .layer(ApiKeyLayer::new(ring))
//!     .service(tower::service_fn(|request: Request<DrainBody<Full<Bytes>>>| async {
//!         let upload = request.into_body().collect().await?.to_bytes();
//!         Ok::<_, Infallible>(Response::new(Full::new(upload)))
//!     }));
//!
//! // The upload has been read when the refusal is handed on.
//! let request = Request::post("/upload").body(Full::from("an upload without a key"))?;
//! let response = service.ready().await?.call(request).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod body;
mod future;
mod layer;
mod limits;
mod service;

pub use body::DrainBody;
pub use future::ResponseFuture;
pub use layer::DrainLayer;
pub use service::Drain;
