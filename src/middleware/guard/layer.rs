//! The settings of a scope guard.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tower_layer::Layer;

use super::service::RequireScope;
use crate::access::requirement::{IntoRequirement, Requirement};
use crate::middleware::rejection::{Rejection, Required, Responder};
use crate::observe::observed::Observed;
use crate::observe::observer::Observer;

/// Refuses requests whose key lacks the required scopes, before the inner service runs.
///
/// Put it inside an [`ApiKeyLayer`](crate::ApiKeyLayer). Without one it refuses every request with 500:
/// no authentication is no permission.
///
/// ```
/// use tower_api_key::{RequireScopeLayer, Requirement};
///
/// let one = RequireScopeLayer::new("orders:read");
/// let either = RequireScopeLayer::new(Requirement::any(["orders:write", "admin"])?);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct RequireScopeLayer {
    requirement: Requirement,
    responder: Option<Arc<Responder>>,
    observer: Observed,
}

impl RequireScopeLayer {
    /// Requires a scope or a [`Requirement`].
    ///
    /// # Panics
    ///
    /// If a text is not a valid scope, so that a typo in a route fails at startup. Parse text that comes
    /// from elsewhere with [`Requirement::scope`] first.
    #[track_caller]
    pub fn new(requirement: impl IntoRequirement) -> Self {
        Self {
            requirement: Requirement::of_route(requirement),
            responder: None,
            observer: Observed::default(),
        }
    }

    /// Replaces the response to a key that lacks a scope, as
    /// [`ApiKeyLayer::responder`](crate::ApiKeyLayer::responder) does. Default: that of the layer further out.
    pub fn responder(
        mut self,
        responder: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.responder = Some(Arc::new(responder));
        self
    }

    /// Sets an observer of this guard alone, which receives an event for each request that the guard
    /// refuses. Default: none. The observers of the [`ApiKeyLayer`](crate::ApiKeyLayer) further out and
    /// of its ring receive events for those requests too, so give this guard another observer. It also
    /// receives an event for each request that no layer authenticated, which no other observer does.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Observed::by(observer);
        self
    }
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScope<S>;

    fn layer(&self, inner: S) -> RequireScope<S> {
        let required = Required::new(self.requirement.clone(), self.responder.clone());
        RequireScope::new(inner, required, self.observer.clone())
    }
}

impl fmt::Debug for RequireScopeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScopeLayer")
            .field("requirement", &self.requirement)
            .finish_non_exhaustive()
    }
}
