//! Extractors for axum handlers, described at [`VerifiedKey`], and the response to an [`Error`].

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::request::Parts;

use crate::error::{Error, ErrorClass};
use crate::middleware::auth::Authenticator;
use crate::middleware::problem;
use crate::middleware::rejection::{Anonymous, Rejection, proof};
use crate::verdict::VerifiedKey;

impl<S: Send + Sync> FromRequestParts<S> for VerifiedKey {
    /// A response whose extensions hold the [`Rejection`].
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        proof(&parts.extensions, (&*parts).into())
            .cloned()
            .map_err(|response| response.map(Body::from))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for VerifiedKey {
    /// A response whose extensions hold the [`Rejection`].
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Response> {
        let extensions = &parts.extensions;
        if extensions.get::<Self>().is_none() && extensions.get::<Anonymous>().is_some() {
            return Ok(None);
        }
        match proof(extensions, (&*parts).into()) {
            Ok(key) => Ok(Some(key.clone())),
            Err(response) => Err(response.map(Body::from)),
        }
    }
}

/// A key that this extractor itself has authenticated, for services that do so in extractors and not in a layer.
///
/// The router's state has an [`Authenticator`], or is one. A [`ResponseGuardLayer`](crate::ResponseGuardLayer) is around
/// the router: without it every request is refused with 500. A refusal is the response of the layer. `Option<Authenticated>`
/// is `None` for a request without a credential that an [optional](crate::ApiKeyLayer::optional) layer would let pass.
///
/// Extractors run in the order of the arguments. Those before this one see the header with the key, so it comes first.
/// Those after it may extract the same [`VerifiedKey`].
///
/// ```
/// use axum::{Router, extract::FromRef, routing::get};
/// use tower_api_key::{
///     ApiKeyLayer, Authenticated, Authenticator, KeyRing, ResponseGuardLayer, Source,
///     store::MemoryStore,
/// };
///
/// #[derive(Clone)]
/// struct App {
///     authenticator: Authenticator,
/// }
///
/// impl FromRef<App> for Authenticator {
///     fn from_ref(app: &App) -> Self {
///         app.authenticator.clone()
///     }
/// }
///
/// async fn me(Authenticated(key): Authenticated) -> String {
///     key.subject().to_string()
/// }
///
/// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
/// let layer = ApiKeyLayer::new(ring).sources([Source::authorization_raw()]);
/// let app = App { authenticator: layer.authenticator() };
/// let router: Router = Router::new()
///     .route("/me", get(me))
///     .layer(ResponseGuardLayer::new())
///     .with_state(app);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Authenticated(pub VerifiedKey);

impl<S> FromRequestParts<S> for Authenticated
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    /// A response whose extensions hold the [`Rejection`].
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let authenticator = Authenticator::from_ref(state);
        let authenticated = authenticator.authenticate(parts).await;
        authenticated
            .map(Self)
            .map_err(|rejection| answer(&authenticator, rejection, parts))
    }
}

impl<S> OptionalFromRequestParts<S> for Authenticated
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    /// A response whose extensions hold the [`Rejection`].
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Response> {
        let authenticator = Authenticator::from_ref(state);
        let authenticated = authenticator.authenticate_if_presented(parts).await;
        authenticated
            .map(|key| key.map(Self))
            .map_err(|rejection| answer(&authenticator, rejection, parts))
    }
}

fn answer(authenticator: &Authenticator, rejection: Rejection, parts: &Parts) -> Response {
    let response = authenticator.responses().respond(rejection, parts.into());
    response.map(Body::from)
}

/// The response of [`Rejection::into_response`].
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Rejection::into_response(self).map(Body::from)
    }
}

/// The response has the [status](ErrorClass::status) of the error's class, and its message as the detail
/// of a problem (RFC 9457). It is not to be stored, and does not include the sources of the error. If
/// the class is [`ErrorClass::Store`], it asks the client to try again after a second.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let class = self.kind().class();
        let json = problem::json(class.status(), &self.to_string());
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = class.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, problem::CONTENT_TYPE);
        let no_store = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, no_store);
        if class == ErrorClass::Store {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
