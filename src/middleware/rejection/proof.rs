//! The proof of a request's authentication, or the refusal of a request without one.

use bytes::Bytes;
use http::{Extensions, Response};

use super::response::without_layer;
use super::{Anonymous, Deferred, Head, Rejection, not_authenticated};
use crate::verdict::VerifiedKey;

/// The proof that a request carries, or the response to a request without one.
#[inline]
pub(crate) fn proof<'a>(
    extensions: &'a Extensions,
    request: Head<'_>,
) -> Result<&'a VerifiedKey, Box<Response<Bytes>>> {
    extensions.get::<VerifiedKey>().ok_or_else(|| {
        if let Some(deferred) = extensions.get::<Deferred>() {
            return Box::new(deferred.refuse(request));
        }
        Box::new(Rejection::of_a_guard(match extensions.get::<Anonymous>() {
            Some(anonymous) => anonymous.refuse(request),
            None => not_authenticated(request),
        }))
    })
}

/// Whether a request without a valid key passes, because something else has authenticated it. Nothing passes if there is
/// no layer further out.
pub(crate) fn passes_otherwise(
    extensions: &Extensions,
    otherwise: impl FnOnce(&Extensions) -> bool,
) -> bool {
    if extensions.get::<VerifiedKey>().is_some() {
        return false;
    }
    let deferred = extensions.get::<Deferred>();
    let is_known = deferred.is_some() || extensions.get::<Anonymous>().is_some();
    let passes = is_known && otherwise(extensions);
    if passes && let Some(deferred) = deferred {
        deferred.see();
    }
    passes
}

impl VerifiedKey {
    /// The key of a request, from its extensions, for a service or a handler of tonic. A handler of axum
    /// takes it as an argument instead.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use tower::{Layer, ServiceExt};
    /// use tower_api_key::{ApiKeyLayer, KeyRing, Rejection, VerifiedKey, store::MemoryStore};
    ///
    /// fn greet(request: &Request<()>) -> Result<Response<Bytes>, Rejection> {
    ///     let key = VerifiedKey::of(request.extensions())?;
    ///     Ok(Response::new(format!("hello {}", key.subject()).into()))
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let inner = tower::service_fn(|request: Request<()>| async move {
    ///     let response = greet(&request).unwrap_or_else(Rejection::into_response);
    ///     Ok::<_, std::convert::Infallible>(response.map(Full::new))
    /// });
    ///
    /// // The layer lets requests without a key pass, and this handler does not.
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let service = ApiKeyLayer::new(ring).optional().layer(inner);
    /// let response = service.oneshot(Request::new(())).await?;
    /// assert_eq!(response.status(), 401);
    /// assert_eq!(response.headers()["www-authenticate"], "ApiKey realm=\"acme\"");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Missing`](crate::RejectionKind::Missing) if an [optional](crate::ApiKeyLayer::optional) layer let
    ///   the request pass without a key. The rejection is the layer's own.
    /// - The rejection that a layer handed on, because it
    ///   [allows missing and failed keys](crate::ApiKeyLayer::allow_missing_or_failed).
    /// - [`NotAuthenticated`](crate::RejectionKind::NotAuthenticated) if there is no layer further out.
    pub fn of(extensions: &Extensions) -> Result<&Self, Rejection> {
        extensions.get().ok_or_else(|| {
            if let Some(deferred) = extensions.get::<Deferred>() {
                return deferred.rejection();
            }
            let rejection = match extensions.get::<Anonymous>() {
                Some(anonymous) => anonymous.rejection(),
                None => without_layer(),
            };
            rejection.of_a_handler()
        })
    }
}
