//! The part of a request that a refusal depends on.

use http::header::HeaderMap;
#[cfg(feature = "axum")]
use http::request::Parts;
use http::{Method, Request, Version};

/// The head of the refused request, by which a gRPC client is distinguished from others.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
}

impl<'a, B> From<&'a Request<B>> for Head<'a> {
    #[inline]
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            version: request.version(),
            headers: request.headers(),
        }
    }
}

#[cfg(feature = "axum")]
impl<'a> From<&'a Parts> for Head<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            version: parts.version,
            headers: &parts.headers,
        }
    }
}
