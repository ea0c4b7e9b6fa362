//! The settings of a guard that requires a key, or something else that authenticates.

use std::fmt;
use std::sync::Arc;

use http::Extensions;
use tower_layer::Layer;

use super::key_service::{Otherwise, RequireKey};

/// Refuses requests without a valid key, before the inner service runs, unless something else has authenticated them.
///
/// Put it inside an [`ApiKeyLayer`](crate::ApiKeyLayer) that is
/// [`allow_missing_or_failed`](crate::ApiKeyLayer::allow_missing_or_failed) or
/// [`optional`](crate::ApiKeyLayer::optional), and inside the layer that authenticates otherwise. It answers as the
/// `ApiKeyLayer` would have. Without an `ApiKeyLayer` it refuses every request with 500.
/// [`guide::adopting`](crate::guide::adopting) has an example.
///
/// ```
/// use tower_api_key::RequireKeyLayer;
///
/// #[derive(Clone)]
/// struct Session {
///     user: String,
/// }
///
/// let key = RequireKeyLayer::new();
/// let key_or_session = RequireKeyLayer::new().or(|extensions| extensions.get::<Session>().is_some());
/// # let _ = (key, key_or_session);
/// ```
#[derive(Clone, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct RequireKeyLayer {
    otherwise: Option<Arc<Otherwise>>,
}

impl RequireKeyLayer {
    /// Requires a key of every request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a request without a valid key pass, also one with a wrong key, if this function says that something else has
    /// authenticated it. Called again, it replaces the function.
    ///
    /// It has to read what only a layer of the service has written into the extensions, and never what the client sent.
    pub fn or(mut self, otherwise: impl Fn(&Extensions) -> bool + Send + Sync + 'static) -> Self {
        self.otherwise = Some(Arc::new(otherwise));
        self
    }
}

impl<S> Layer<S> for RequireKeyLayer {
    type Service = RequireKey<S>;

    fn layer(&self, inner: S) -> RequireKey<S> {
        RequireKey::new(inner, self.otherwise.clone())
    }
}

impl fmt::Debug for RequireKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireKeyLayer")
            .field("otherwise", &self.otherwise.is_some())
            .finish()
    }
}
