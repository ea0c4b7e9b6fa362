//! The part of a request that a refusal depends on.

use std::sync::LazyLock;

use http::header::HeaderMap;
use http::{Method, Version};

use crate::middleware::head::RequestHead;

/// The head of the refused request, by which a gRPC client is distinguished from others.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// That of a request without headers, which is not gRPC's.
    pub(crate) fn plain(method: &'a Method) -> Self {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        Self {
            method,
            version: Version::HTTP_11,
            headers: &NONE,
        }
    }

    #[inline]
    pub(super) fn is_head(self) -> bool {
        *self.method == Method::HEAD
    }
}

impl<'a, R: RequestHead> From<&'a R> for Head<'a> {
    #[inline]
    fn from(request: &'a R) -> Self {
        Self {
            method: request.method(),
            version: request.version(),
            headers: request.headers(),
        }
    }
}
