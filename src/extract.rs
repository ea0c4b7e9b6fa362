//! Extractors for axum handlers, described at [`VerifiedKey`].

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::Response;
use http::request::Parts;

use crate::guard::proof;
use crate::rejection::Anonymous;
use crate::verified::VerifiedKey;

impl<S: Send + Sync> FromRequestParts<S> for VerifiedKey {
    /// A response whose extensions hold the [`Rejection`](crate::Rejection).
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        proof(&parts.extensions, (&*parts).into())
            .cloned()
            .map_err(|response| response.map(Body::from))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for VerifiedKey {
    /// A response whose extensions hold the [`Rejection`](crate::Rejection).
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
