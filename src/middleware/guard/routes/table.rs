//! The routes of a service, and who may use each of them.

use std::fmt;
use std::sync::Arc;

use http::{Extensions, Method, Uri};

use super::access::Access;
use super::lookup::Lookup;
use super::path::{self, Path};
use super::route::Route;
use crate::middleware::head::RequestHead;
use crate::middleware::rejection::Required;
use crate::verdict::{Denial, VerifiedKey};

/// The routes of a service: methods and patterns of paths, each with who may use it. A request to any other
/// route is refused. Give it to [`ApiKeyLayer::routes`](crate::ApiKeyLayer::routes).
///
/// [`guard::routes`](crate::guard::routes) describes patterns, and which paths are refused. A clone is another
/// handle to the same table.
///
/// ```
/// use http::Method;
/// use tower_api_key::{Access, RouteTable};
///
/// let table = RouteTable::builder()
///     .get("/health", Access::Public)
///     .get("/orders/{id}", "orders:read")
///     .post("/orders", "orders:write")
///     .build()?;
/// let route = table.find(&Method::GET, &"/orders/42".parse()?).expect("named");
/// assert_eq!(route.pattern(), "/orders/{id}");
/// assert!(table.find(&Method::DELETE, &"/orders/42".parse()?).is_none());
/// assert!(table.find(&Method::GET, &"/health/../orders/42".parse()?).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RouteTable(Arc<Inner>);

struct Inner {
    routes: Box<[Route]>,
    lookup: Lookup,
    has_public: bool,
}

impl RouteTable {
    /// The routes, in the order in which they were named.
    pub fn routes(&self) -> &[Route] {
        &self.0.routes
    }

    /// The route of a request. `None` if the table names none, or if the path is not canonical.
    ///
    /// This is the decision of a layer, except that a layer takes the pattern that a router of axum has
    /// matched, if there is one.
    pub fn find(&self, method: &Method, target: &Uri) -> Option<&Route> {
        self.0.of_path(method, path::canonical(target)?)
    }

    /// The place of the route of a pattern.
    #[cfg(feature = "openapi")]
    pub(crate) fn place_of(&self, method: &Method, pattern: &str) -> Option<usize> {
        self.0.lookup.of_pattern(method, pattern)
    }

    pub(super) fn new(routes: Box<[Route]>, lookup: Lookup) -> Self {
        Self(Arc::new(Inner {
            has_public: routes.iter().any(|route| *route.access() == Access::Public),
            routes,
            lookup,
        }))
    }

    /// Whether a request without a key may pass at any route.
    pub(crate) fn has_public(&self) -> bool {
        self.0.has_public
    }

    /// Whether this request may pass without a key.
    pub(crate) fn is_public(&self, request: &impl RequestHead) -> bool {
        self.route_of(request)
            .is_some_and(|route| *route.access() == Access::Public)
    }

    /// Whether a key may have the route of a request. A layer without a table is not to grow by it.
    #[inline(never)]
    pub(crate) fn permit(
        &self,
        key: &VerifiedKey,
        request: &impl RequestHead,
    ) -> Result<(), Denial> {
        let route = self.route_of(request).ok_or(Denial::UnknownRoute)?;
        match route.required() {
            Some(required) if !required.is_met_by(key) => Err(Denial::InsufficientScope),
            _ => Ok(()),
        }
    }

    /// The scopes that the route of a request requires.
    #[cold]
    pub(crate) fn required_of(&self, request: &impl RequestHead) -> Option<&Required> {
        self.route_of(request)?.required()
    }

    /// Whether the table names the route of a request.
    #[cold]
    pub(crate) fn names(&self, request: &impl RequestHead) -> bool {
        self.route_of(request).is_some()
    }

    #[inline]
    fn route_of(&self, request: &impl RequestHead) -> Option<&Route> {
        self.0
            .of_request(request.method(), request.uri(), request.extensions())
    }
}

impl Inner {
    #[cfg(feature = "axum")]
    #[inline]
    fn of_request(&self, method: &Method, target: &Uri, extensions: &Extensions) -> Option<&Route> {
        if extensions.is_empty() {
            return self.of_path(method, path::canonical(target)?);
        }
        self.of_routed(method, target, extensions)
    }

    /// The route of a request that routers of axum may have passed on. Apart, so that the others do not jump over it.
    #[cfg(feature = "axum")]
    #[inline(never)]
    fn of_routed(&self, method: &Method, target: &Uri, extensions: &Extensions) -> Option<&Route> {
        use axum::extract::{MatchedPath, OriginalUri};

        let path = path::canonical(target)?;
        // A router strips a part of the path, and every pattern is that of a whole path.
        let whole = match extensions.get() {
            Some(OriginalUri(original)) => path::canonical(original)?,
            None => path,
        };
        match extensions.get::<MatchedPath>() {
            Some(matched) => self.of_matched(method, matched.as_str(), whole, path),
            None => self.of_whole(method, whole, path),
        }
    }

    /// The route of a request that a router of axum has matched, within the pattern that it has matched.
    #[cfg(feature = "axum")]
    fn of_matched(
        &self,
        method: &Method,
        matched: &str,
        whole: Path<'_>,
        path: Path<'_>,
    ) -> Option<&Route> {
        match matched.rsplit_once('/') {
            // What serves the rest of a path has routes of its own, as the services of tonic have.
            Some((prefix, rest)) if rest.starts_with("{*") => {
                let route = self.of_whole(method, whole, path)?;
                let within = route.pattern().strip_prefix(prefix)?;
                within.starts_with('/').then_some(route)
            }
            _ => self.routes.get(self.lookup.of_pattern(method, matched)?),
        }
    }

    /// The route of a whole path of which routers have left `path`. A path that is not its end was rewritten, and
    /// names another resource.
    #[cfg(feature = "axum")]
    #[inline]
    fn of_whole(&self, method: &Method, whole: Path<'_>, path: Path<'_>) -> Option<&Route> {
        // A router that strips everything leaves a slash.
        if path.text == "/" || whole.text.ends_with(path.text) {
            self.of_path(method, whole)
        } else {
            None
        }
    }

    #[cfg(not(feature = "axum"))]
    #[inline]
    fn of_request(&self, method: &Method, target: &Uri, _: &Extensions) -> Option<&Route> {
        self.of_path(method, path::canonical(target)?)
    }

    #[inline]
    fn of_path(&self, method: &Method, path: Path<'_>) -> Option<&Route> {
        self.routes.get(self.lookup.of_path(method, path)?)
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes()).finish()
    }
}
