//! A table of a service's routes, each with who may use it. A request to a route that the table does not name
//! is refused.
//!
//! A table that is written by hand is matched by path, so it can forget a route that another one covers: if it names
//! `/orders/{id}`, and not the `/orders/export` that the service has too, the access of the first holds for both.
//! With axum, name routes by `Routes` (feature `axum`), which takes the handler and the access in one call. Then no
//! route can be forgotten.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt};
//! use tower_api_key::{Access, ApiKeyLayer, Grant, KeyRing, RouteTable, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let reader = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//!
//! let table = RouteTable::builder()
//!     .get("/health", Access::Public)
//!     .get("/me", Access::AnyKey)
//!     .get("/orders/{id}", "orders:read")
//!     .delete("/orders/{id}", "orders:write")
//!     .build()?;
//! let inner = tower::service_fn(|_: Request<()>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
//! });
//! let service = ApiKeyLayer::new(ring).routes(table).layer(inner);
//!
//! let anonymous = Request::get("/health").body(())?;
//! assert_eq!(service.clone().oneshot(anonymous).await?.status(), 200);
//!
//! for (method, path, status) in [
//!     ("GET", "/orders/42", 200),
//!     ("DELETE", "/orders/42", 403), // Insufficient scope: expected orders:write
//!     ("PUT", "/orders/42", 403),    // Unknown route
//!     ("GET", "/orders", 403),       // Unknown route
//! ] {
//!     let request = Request::builder()
//!         .method(method)
//!         .uri(path)
//!         .header("x-api-key", reader.secret().expose());
//!     let response = service.clone().oneshot(request.body(())?).await?;
//!     assert_eq!(response.status(), status, "{method} {path}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Patterns
//!
//! Patterns are those of axum 0.8: `/orders/{id}` matches one segment, and `/files/{*path}` the rest of a path,
//! which is not empty. A literal segment is preferred to a parameter, and a parameter to the rest. A slash at
//! the end counts: `/orders/` is not `/orders`.
//!
//! A `HEAD` request takes the route of `GET` if it has none of its own, because routers answer it with that
//! handler. A header such as `X-HTTP-Method-Override` changes nothing: leave such headers to no layer further in.
//!
//! The table matches the path of the request as the layer sees it. Inside a router of axum (with the feature `axum`)
//! its patterns are those of whole paths, as the client sends them, with what `nest` and `nest_service` strip:
//!
//! - If the router has matched a pattern (`MatchedPath`, with those of the routers around it), that pattern counts.
//! - If that ends with `{*rest}`, as for a service of tonic, the table matches the whole path, and the route has to be
//!   within that pattern.
//! - If there is no pattern, as in a fallback, the table matches the whole path (`OriginalUri`).
//!
//! In the last two cases, a path that a layer inside the router has rewritten, other than by removing its beginning,
//! is refused. Rewrite paths outside of the routers.
//!
//! # Paths that are refused
//!
//! A path has to be canonical, so that the table and the service read it in the same way. A path with `.` or
//! `..`, an empty segment, `;`, `\`, a percent-encoded `/`, `\`, `;` or control character, a character that
//! need not be encoded (RFC 3986 §2.3), or a character that has to be (RFC 3986 §3.3) is refused as a route that the
//! table does not name.
//!
//! Clients encode characters such as `:` and `@` in the value of a parameter, and some write hex digits in lower case. Such
//! a path is matched as it is, as routers do. But a service may decode it first. So it is refused if the same path without
//! that encoding is of another pattern: `/things%3Apurge` of `/{name}`, next to a pattern `/things:purge`. Patterns
//! themselves do not encode such characters.
//!
//! The same holds for a target with user information, for the targets of `CONNECT` and
//! `OPTIONS *`, and for methods other than those of RFC 9110 §9.3 and `PATCH`.
//!
//! # Without a key
//!
//! A request without a key gets 401 at every route that is not [`Public`](Access::Public), also at one that the
//! table does not name: a stranger does not learn which routes there are. A request with a wrong key gets 401
//! everywhere. The refusals of a stranger are equal, whatever the path.
//!
//! That holds for a layer outside of the router, and for `Routes`. A layer that is given to `Router::layer` of axum is
//! inside: axum adds `Allow` to the refusal of a method for which a pattern has no handler, and so shows which patterns
//! and methods there are. Wrap the router instead, with `ApiKeyLayer::new(ring).routes(table).layer(router)`.
//!
//! 403 is for holders of a valid key: as [`InsufficientScope`](crate::RejectionKind::InsufficientScope),
//! or as [`UnknownRoute`](crate::RejectionKind::UnknownRoute).

mod access;
mod builder;
mod lookup;
pub(crate) mod methods;
mod path;
mod pattern;
mod route;
#[cfg(feature = "axum")]
#[expect(
    clippy::module_inception,
    reason = "the type is what the room is about"
)]
mod routes;
mod table;

pub use access::{Access, IntoAccess};
pub use builder::RouteTableBuilder;
pub use route::Route;
#[cfg(feature = "axum")]
pub use routes::Routes;
pub use table::RouteTable;
