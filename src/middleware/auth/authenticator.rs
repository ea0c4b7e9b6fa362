//! The decision of a layer as a call.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use http::request::Parts;

use super::attribution::AdmittedIn;
use super::cache::CacheHeaders;
use super::decisions::{Decided, Decision, Decisions};
use super::gate::{Admission, Gate, Step, forget_earlier};
use super::outcome::Outcome;
#[cfg(feature = "axum")]
use crate::middleware::rejection::Responses;
use crate::middleware::rejection::{Rejection, RejectionKind, without_layer};
use crate::observe::event::{Event, EventKind};
use crate::verdict::{Refusal, VerifiedKey};

/// The decision of an [`ApiKeyLayer`](crate::ApiKeyLayer) on the head of a request, for a service that authenticates
/// in its extractors or handlers. [`ApiKeyLayer::authenticator`](crate::ApiKeyLayer::authenticator) makes it.
///
/// It is the code that the layer runs: sources, ambiguity, requirement, table of routes, events. In addition it needs a
/// [`ResponseGuardLayer`](crate::ResponseGuardLayer) around the handlers, which keeps shared caches from handing the
/// response of one client to another. Without it every request is refused with 500, unless the layer is
/// [without that guard](crate::ApiKeyLayer::danger_without_cache_guard). A clone is another handle to the same
/// settings.
///
/// With the feature `axum`, the extractor `Authenticated` calls it, and takes it from the state of the router.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Layer, ServiceExt};
/// use tower_api_key::{
///     ApiKeyLayer, Authenticator, Grant, KeyRing, Rejection, ResponseGuardLayer, Source,
///     store::MemoryStore,
/// };
///
/// async fn greet(
///     authenticator: &Authenticator,
///     request: Request<()>,
/// ) -> Result<Response<Bytes>, Rejection> {
///     let (mut parts, ()) = request.into_parts();
///     let key = authenticator.authenticate(&mut parts).await?;
///     assert!(!parts.headers.contains_key("authorization"));
///     Ok(Response::new(format!("hello {}", key.subject()).into()))
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
/// let issued = ring.issue(Grant::new("alice")).await?;
///
/// let layer = ApiKeyLayer::new(ring).sources([Source::scheme("Token")?]);
/// let authenticator = layer.authenticator();
/// let inner = tower::service_fn(move |request: Request<()>| {
///     let authenticator = authenticator.clone();
///     async move {
///         let response = greet(&authenticator, request).await;
///         let response = response.unwrap_or_else(Rejection::into_response);
///         Ok::<_, std::convert::Infallible>(response.map(Full::new))
///     }
/// });
/// let service = ResponseGuardLayer::new().layer(inner);
///
/// let value = format!("Token {}", issued.secret().expose());
/// let request = Request::builder().header("authorization", value).body(())?;
/// let response = service.clone().oneshot(request).await?;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["vary"], "authorization");
/// assert_eq!(response.headers()["cache-control"], "private");
///
/// let response = service.oneshot(Request::new(())).await?;
/// assert_eq!(response.status(), 401);
/// assert_eq!(response.headers()["www-authenticate"], "Token realm=\"acme\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Authenticator(Arc<Gate>);

impl Authenticator {
    pub(super) fn new(gate: Gate) -> Self {
        Self(Arc::new(gate))
    }

    /// Authenticates a request. As the layer does, it takes the credential out of its header, removes a
    /// [`VerifiedKey`] that was there before, and attaches the one that it returns to the extensions. Code that has run
    /// before has seen the credential.
    ///
    /// A second call on the same request returns the same result. A future that is dropped has not decided: the
    /// credential may be gone, so refuse the request then.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] that the layer would have answered with. It [becomes](Rejection::into_response) a response, or an
    /// error of the application. The observers have received it. If the layer is
    /// [optional](crate::ApiKeyLayer::optional) and the request has no credential, it is
    /// [`Missing`](RejectionKind::Missing). Without a [`ResponseGuardLayer`](crate::ResponseGuardLayer) it is
    /// [`NotAuthenticated`](RejectionKind::NotAuthenticated).
    pub async fn authenticate(&self, parts: &mut Parts) -> Result<VerifiedKey, Rejection> {
        match self.authenticate_if_presented(parts).await? {
            Some(key) => Ok(key),
            None => VerifiedKey::of(&parts.extensions).cloned(),
        }
    }

    /// The same, with `None` for a request without a credential that the layer lets pass, because it is
    /// [optional](crate::ApiKeyLayer::optional) or the route is [public](crate::Access::Public).
    ///
    /// # Errors
    ///
    /// As [`authenticate`](Self::authenticate). A credential that is presented has to be valid.
    pub async fn authenticate_if_presented(
        &self,
        parts: &mut Parts,
    ) -> Result<Option<VerifiedKey>, Rejection> {
        let decisions = parts.extensions.get::<Decisions>().cloned();
        if let Some(decisions) = &decisions
            && let Some(earlier) = decisions.of(&self.0)
        {
            return earlier;
        }
        if decisions.is_none() && self.0.vary.is_some() {
            forget_earlier(&mut parts.extensions);
            return Err(self.without_guard());
        }
        let (gate, admitted) = self.judge(parts).await;
        let mut caller = None;
        let (decided, cache, span, outcome) = match admitted {
            Ok(Admission { cache, span }) => {
                let key = parts.extensions.get().cloned();
                let outcome = Outcome::of(&gate, parts, cache.is_private());
                (Ok(key), cache, span, outcome)
            }
            Err(refusal) => {
                self.0.hide_refused(&refusal, parts);
                let cache = CacheHeaders::private(gate.vary);
                caller = refusal.valid_key().cloned();
                let rejection = gate.reject(&refusal, parts);
                (Err(rejection), cache, AdmittedIn::default(), None)
            }
        };
        if let Some(decisions) = decisions {
            let decided: Decided = decided.clone();
            decisions.add(Decision {
                gate: Arc::clone(&self.0),
                decided,
                cache,
                span,
                outcome,
                caller,
            });
        }
        decided
    }

    async fn judge(&self, parts: &mut Parts) -> (Arc<Gate>, Result<Admission, Refusal>) {
        let gate = Arc::clone(&self.0);
        match self.0.authenticate(parts) {
            Step::Admitted(admission) => (gate, Ok(admission)),
            Step::Refused(refusal) => (gate, Err(refusal)),
            Step::ByAnother(other, admitted) => (other, admitted),
            Step::Pending(mut waiting, scheme, cache) => {
                let decision = poll_fn(|context| waiting.poll(context)).await;
                gate.settle(decision, scheme, cache, parts)
            }
        }
    }

    #[cold]
    fn without_guard(&self) -> Rejection {
        let kind = EventKind::Rejected {
            kind: RejectionKind::NotAuthenticated,
            cause: None,
        };
        let realm = self.0.ring.realm();
        self.0
            .observer
            .tell(|| Event::without_record(kind, Some(realm), None));
        without_layer()
    }

    #[cfg(feature = "axum")]
    pub(crate) fn responses(&self) -> &Responses {
        &self.0.responses
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("ring", &self.0.ring)
            .field("sources", &self.0.sources)
            .finish_non_exhaustive()
    }
}
