//! The caching headers of an accepted response.

use http::Response;
use http::header::HeaderValue;

use crate::middleware::caching;

/// The fields added to an accepted response, so that a cache does not hand it to others. `Authorization`
/// gets them too, because caches in use do not implement the protection of RFC 9111 §3.5.
pub(super) struct CacheHeaders {
    vary: Option<&'static HeaderValue>,
    private: bool,
}

impl CacheHeaders {
    /// For the response to a request without a key.
    #[inline]
    pub(super) fn shared(vary: Option<&'static HeaderValue>) -> Self {
        Self {
            vary,
            private: false,
        }
    }

    /// For the response to the holder of a key.
    #[inline]
    pub(super) fn private(vary: Option<&'static HeaderValue>) -> Self {
        Self {
            vary,
            private: true,
        }
    }

    /// Whether the response is left as it is.
    #[inline]
    pub(super) fn is_nothing(&self) -> bool {
        self.vary.is_none()
    }

    /// Whether the response is that to the holder of a key.
    #[inline]
    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    #[inline]
    pub(super) fn apply<B>(&mut self, response: &mut Response<B>) {
        let Some(vary) = self.vary.take() else {
            return;
        };
        let headers = response.headers_mut();
        caching::vary_by(headers, vary.clone());
        if self.private {
            caching::keep_private(headers);
        }
    }
}
