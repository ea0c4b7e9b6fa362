//! The settings of an authenticating layer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Response};

use super::attribution::Attribution;
use super::gate::OnRefusal;
use super::lifetime::LifetimeHeaders;
use super::other_ring::OtherRing;
use crate::access::requirement::{IntoRequirement, Requirement};
use crate::middleware::client::{ClientAddress, ClientCertificate, FactSources};
use crate::middleware::credential::Sources;
use crate::middleware::credential::source::Source;
use crate::middleware::guard::routes::RouteTable;
use crate::middleware::rejection::{Rejection, Responder, StatusProfile};
use crate::observe::observed::Observed;
use crate::ring::{KeyRing, Verifier};

/// Authenticates every request against a [`KeyRing`], attaches a [`VerifiedKey`](crate::VerifiedKey) to
/// its extensions, and refuses it if there is no valid key.
///
/// The default reads `x-api-key` alone, takes the credential out of the request, and keeps shared caches
/// from storing the response. The inner service must be `Clone` and answer with an [`http::Response`].
/// The body of the response is wrapped in a [`ResponseBody`](crate::ResponseBody).
///
/// ```
/// use http::HeaderName;
/// use tower_api_key::{ApiKeyLayer, KeyRing, Source, StatusProfile, store::MemoryStore};
///
/// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
/// let layer = ApiKeyLayer::new(ring)
///     .sources([Source::header(HeaderName::from_static("x-api-key"))?, Source::bearer()])
///     .require("orders:write")
///     .profile(StatusProfile::AwsGateway);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ApiKeyLayer {
    pub(super) ring: KeyRing,
    pub(super) others: Vec<OtherRing>,
    pub(super) sources: Sources,
    pub(super) required: Option<Requirement>,
    pub(super) routes: Option<RouteTable>,
    pub(super) optional: bool,
    pub(super) on_refusal: OnRefusal,
    pub(super) forward: bool,
    pub(super) guard_responses: bool,
    pub(super) profile: StatusProfile,
    pub(super) responder: Option<Arc<Responder>>,
    pub(super) observer: Observed,
    pub(super) facts: FactSources,
    pub(super) attribution: Attribution,
    pub(super) lifetime: Option<LifetimeHeaders>,
}

impl ApiKeyLayer {
    /// Authenticates with the keys of this [`KeyRing`], or of this [`Verifier`], presented in `x-api-key`.
    pub fn new(ring: impl Into<Verifier>) -> Self {
        let ring = ring.into().into_ring();
        Self {
            observer: Observed::default(),
            facts: FactSources::default(),
            ring,
            others: Vec::new(),
            sources: Sources::from_header(HeaderName::from_static("x-api-key")),
            required: None,
            routes: None,
            optional: false,
            on_refusal: OnRefusal::Answer,
            forward: false,
            guard_responses: true,
            profile: StatusProfile::default(),
            responder: None,
            attribution: Attribution::default(),
            lifetime: None,
        }
    }

    /// Reads the key from these places instead. A request may use only one of them. If there are none,
    /// every request is refused as [`Missing`](crate::RejectionKind::Missing).
    ///
    /// A request is refused if it has a key with the ring's prefix in the URI, in a header in which
    /// proxies forward a URL, or in `Authorization` under a scheme that is not read. The key is
    /// [reported](crate::Event::place). A key in `Referer` is marked sensitive and reported. The request
    /// is then refused only if that is the key that it presents.
    pub fn sources(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        self.sources = Sources::new(sources);
        self
    }

    /// Requires scopes of every key, as a [`RequireScopeLayer`](crate::RequireScopeLayer)
    /// directly inside would. Called again, it requires both.
    ///
    /// # Panics
    ///
    /// If a text is not a valid scope, so that a typo in a route fails at startup. Parse text that comes
    /// from elsewhere with [`Requirement::scope`] first.
    #[track_caller]
    pub fn require(mut self, requirement: impl IntoRequirement) -> Self {
        let further = Requirement::of_route(requirement);
        self.required = Some(match self.required.take() {
            Some(required) => required.and(further),
            None => further,
        });
        self
    }

    /// Lets requests without any credential pass, without a [`VerifiedKey`](crate::VerifiedKey). A
    /// credential that is presented must still be valid, and a scope that is [`require`](Self::require)d
    /// still needs a key.
    ///
    /// A key of the ring in any header other than `Referer` does not pass unseen: the request is refused
    /// as [`KeyMisplaced`](crate::RejectionKind::KeyMisplaced). A ring recognises its keys by their
    /// prefix. If a layer further in reads other headers, give its ring another prefix.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Lets requests without a valid key go on, each with its [`Rejection`], for a service in which something else may
    /// authenticate a client: a session cookie, `Basic`. The layer alone then refuses no client.
    ///
    /// [`VerifiedKey::of`](crate::VerifiedKey::of) is the key of a request, or the rejection that was handed on. Guards and
    /// extractors ([`RequireKeyLayer`](crate::RequireKeyLayer), [`RequireScopeLayer`](crate::RequireScopeLayer),
    /// `VerifiedKey`) refuse the request as this layer would have. So does this layer if a handler succeeded
    /// and neither it nor a guard has looked for the key: its response is not sent. [`guide::adopting`](crate::guide::adopting)
    /// has an example.
    ///
    /// - What is refused for what the request is, not for its key, is refused at once: more than one credential, a key in a
    ///   wrong place, a route that the [table](Self::routes) does not name. What the table requires holds for keys alone.
    /// - A credential that has the form of a key is taken out of its header, and any other is left there, marked sensitive,
    ///   because it may be for another party. If the store has to be asked, it is taken out before.
    /// - Observers receive a wrong key at once. A missing key is no event, unless the request is refused for it.
    /// - Responses are `private`, as those to keys are.
    /// - An OpenAPI document (feature `openapi`) says that an operation needs no key, or names what else authenticates
    ///   (`Security::or_scheme`).
    ///
    /// A wrong key is never taken for no key: `Option<VerifiedKey>` refuses it. If the layer is also
    /// [`optional`](Self::optional), a request without a credential is anonymous.
    pub fn allow_missing_or_failed(mut self) -> Self {
        self.on_refusal = OnRefusal::HandOn;
        self
    }

    /// Refuses requests whose route the table does not name, and requires of the others what their route
    /// requires, in addition to what the layer [`require`](Self::require)s. Called again, it replaces the table.
    ///
    /// The table decides which requests pass without a key, those to its [public](crate::Access::Public) routes,
    /// and [`optional`](Self::optional) has no effect. If the layer requires scopes, no route is public.
    ///
    /// [`guard::routes`](crate::guard::routes) has an example, and what is refused.
    pub fn routes(mut self, table: RouteTable) -> Self {
        self.routes = Some(table);
        self
    }

    /// Leaves the credential in its header for the inner service, marked sensitive.
    pub fn forward_credential(mut self) -> Self {
        self.forward = true;
        self
    }

    /// Chooses the statuses for missing and invalid keys.
    pub fn profile(mut self, profile: StatusProfile) -> Self {
        self.profile = profile;
        self
    }

    /// Replaces the response to a refusal: status, headers and body. It also answers for guards, extractors
    /// and handlers (`VerifiedKey::require`) further in, unless a guard has a responder of its own.
    ///
    /// Some fields are not up to the closure. `Cache-Control` is always `no-store`, and the fields that
    /// caches prefer to it are removed (`Expires`, `X-Accel-Expires`, `Surrogate-Control`,
    /// `CDN-Cache-Control` and others of that form). The headers that carry keys are added to the
    /// closure's own `Vary`. A 401 without a challenge gets the layer's. gRPC requests keep their
    /// trailers-only response, because gRPC clients cannot read any other.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Empty};
    /// use tower::{ServiceBuilder, ServiceExt};
    /// use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RequireScopeLayer, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let reader = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
    ///
    /// let layer = ApiKeyLayer::new(ring).responder(|rejection| {
    ///     let mut response = Response::new(format!("no: {}", rejection.detail()).into());
    ///     *response.status_mut() = rejection.status();
    ///     response
    /// });
    /// let service = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .layer(RequireScopeLayer::new("orders:write"))
    ///     .service(tower::service_fn(|_: Request<()>| async {
    ///         Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    ///     }));
    ///
    /// let of_the_layer = service.clone().oneshot(Request::new(())).await?;
    /// let body = of_the_layer.into_body().collect().await?.to_bytes();
    /// assert_eq!(body, "no: API key missing");
    ///
    /// let mut request = Request::new(());
    /// let key = reader.secret().expose().parse()?;
    /// request.headers_mut().insert("x-api-key", key);
    /// let of_the_guard = service.oneshot(request).await?;
    /// let body = of_the_guard.into_body().collect().await?.to_bytes();
    /// assert_eq!(body, "no: Insufficient scope: expected orders:write");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn responder(
        mut self,
        responder: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.responder = Some(Arc::new(responder));
        self
    }

    /// Sets how the address of the client is found, for keys with the caveat `net`. Without it, such keys are
    /// refused, and the layer does not build over a ring that
    /// [grants](crate::KeyRingBuilder::grantable_caveats) them.
    pub fn client_address(mut self, address: ClientAddress) -> Self {
        self.facts.address = Some(address);
        self
    }

    /// Sets how the certificate of the client is found, for keys with the caveat `cnf`. Without it, such keys
    /// are refused, and the layer does not build over a ring that
    /// [grants](crate::KeyRingBuilder::grantable_caveats) them.
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.facts.certificate = Some(certificate);
        self
    }

    /// Leaves `Vary` and `Cache-Control` of accepted responses alone.
    ///
    /// The guard adds the headers that carry keys to `Vary`. It adds `private` to the `Cache-Control` of
    /// a response to a key, unless the inner service itself set `public`, `s-maxage`, `must-revalidate`,
    /// `private` or `no-store`. Without the guard, a cache in front of the service may answer one key's
    /// holder with another's response, even if keys are in `Authorization`: RFC 9111 §3.5 forbids that,
    /// but nginx, for example, does not implement it.
    pub fn danger_without_cache_guard(mut self) -> Self {
        self.guard_responses = false;
        self
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer")
            .field("rings", &self.rings().collect::<Vec<_>>())
            .field("sources", &self.sources)
            .field("required", &self.required)
            .field("routes", &self.routes)
            .field("optional", &self.optional)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
