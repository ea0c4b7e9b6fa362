//! Extractors for axum handlers, described at [`VerifiedKey`], and the response to an [`Error`].

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::request::Parts;

use crate::error::{Error, ErrorClass};
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
