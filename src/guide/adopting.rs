//! A service that authenticates its own way, and takes this crate for its keys.
//!
//! Two services stand in `examples/adopt`, each before and after, with the same tests:
//!
//! | example | lines written by hand | lines removed | what it was |
//! |---|---|---|---|
//! | `adopt_sync` | 36 | 27 | a server of axum that takes `Authorization: Token …` in an extractor, with a login that mints tokens and keeps them as they are |
//! | `adopt_web` | 29 | 15 | a web application of axum with a route for a session cookie or a key, switched by a setting |
//!
//! A third, a registry with a raw `Authorization` and its own tables, is in [`guide::table`](super::table).
//!
//! # The key is in `Authorization`, with a scheme of its own or without one
//!
//! [`Source::scheme("Token")`](crate::Source::scheme) reads `Authorization: Token …`, and
//! [`Source::authorization_raw`](crate::Source::authorization_raw) a key without a scheme. Keys that were minted elsewhere
//! are imported: [`guide::moving`](super::moving).
//!
//! # The pool is there already
//!
//! A service keeps its keys in its own database, over its own pool of sqlx, and changes them in its own transactions:
//! `PostgresStore::from_pool` of `tower-api-key-postgres`, or `SqlxSqliteStore::from_pool` of `tower-api-key-sqlite-sqlx`.
//!
//! # Handlers authenticate in an extractor
//!
//! [`ApiKeyLayer::authenticator`](crate::ApiKeyLayer::authenticator) is the layer's decision as a call. Keep it in the
//! state of the service. An extractor of your own calls it, and looks up the user that is the subject of the key. A refusal is
//! a [`Rejection`](crate::Rejection), which converts into a response. A
//! [`ResponseGuardLayer`](crate::ResponseGuardLayer) around the router keeps shared caches from the responses.
//!
//! ```text
//! impl FromRequestParts<App> for User {
//!     type Rejection = Response;
//!
//!     async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
//!         let key = app.authenticator.authenticate(parts).await;
//!         let key = key.map_err(IntoResponse::into_response)?;
//!         app.user(key.subject()).await
//!     }
//! }
//! ```
//!
//! # A session or a key on one route
//!
//! A layer that [allows missing and failed keys](crate::ApiKeyLayer::allow_missing_or_failed) hands its refusal on, because
//! the client may have a session. The guard inside refuses clients that have neither. It looks for what the layer of the sessions
//! left in the extensions, so that layer stands outside the guard. A handler reads the session from there, or the key by
//! [`VerifiedKey::of`](crate::VerifiedKey::of).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RequireKeyLayer, VerifiedKey, store::MemoryStore};
//!
//! /// What the layer of the sessions leaves in a request, after it has looked the cookie up.
//! #[derive(Clone)]
//! struct Session {
//!     user: String,
//! }
//!
//! fn with_session(mut request: Request<()>) -> Request<()> {
//!     let cookie = request.headers().get("cookie");
//!     if cookie.is_some_and(|cookie| cookie == "session=6f1d") {
//!         request.extensions_mut().insert(Session { user: "alice".to_owned() });
//!     }
//!     request
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let key = ring.issue(Grant::new("bob")).await?;
//!
//! let service = ServiceBuilder::new()
//!     .map_request(with_session)
//!     .layer(ApiKeyLayer::new(ring).allow_missing_or_failed())
//!     .layer(RequireKeyLayer::new().or(|extensions| extensions.get::<Session>().is_some()))
//!     .service(service_fn(|request: Request<()>| async move {
//!         let user = match request.extensions().get::<Session>() {
//!             Some(session) => session.user.clone(),
//!             None => match VerifiedKey::of(request.extensions()) {
//!                 Ok(key) => key.subject().to_string(),
//!                 Err(rejection) => return Ok(rejection.into_response().map(Full::new)),
//!             },
//!         };
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(user)))
//!     }));
//!
//! let bad_key = "acme_nonsense";
//! for (cookie, key, status) in [
//!     (Some("session=6f1d"), None, 200),
//!     (Some("session=6f1d"), Some(bad_key), 200),
//!     (None, Some(key.secret().expose()), 200),
//!     (None, Some(bad_key), 401),
//!     (None, None, 401),
//!     (Some("session=0000"), None, 401),
//! ] {
//!     let mut request = Request::builder();
//!     if let Some(cookie) = cookie {
//!         request = request.header("cookie", cookie);
//!     }
//!     if let Some(key) = key {
//!         request = request.header("x-api-key", key);
//!     }
//!     let response = service.clone().oneshot(request.body(())?).await?;
//!     assert_eq!(response.status(), status, "{cookie:?} {key:?}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! An OpenAPI document of such a layer names the session too: `openapi::Security::or_scheme`.
//!
//! A service that takes cookies has to refuse requests that another site makes its users send (CSRF). A key needs no
//! such check, so make it for requests with a session alone: those for which `VerifiedKey::of` is an error.
//!
//! # A setting switches authentication
//!
//! `option_layer` needs the same type of response with the layer and without it:
//! [`SameBodyLayer`](crate::SameBodyLayer). Without that the compiler expects a `Response<ResponseBody<Body>>`. The guards
//! belong inside the same switch, because without a layer outside they refuse every request.
