//! A router of axum whose routes are named with who may use them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, Route, any, any_service, on};
use axum_core::extract::Request;
use axum_core::response::IntoResponse;
use http::{Method, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::access::IntoAccess;
use super::builder::RouteTableBuilder;
use super::pattern;
use super::table::RouteTable;
use crate::error::Error;
use crate::middleware::auth::ApiKeyLayer;

/// The routes of a service of axum: each call names a pattern, who may use it, and the handler, so that the router
/// and its [`RouteTable`] cannot part. Needs the feature `axum`.
///
/// ```
/// use axum::{Router, body::Body};
/// use http::Request;
/// use tower::ServiceExt;
/// use tower_api_key::guard::routes::Routes;
/// use tower_api_key::{Access, ApiKeyLayer, Grant, KeyRing, VerifiedKey, store::MemoryStore};
///
/// async fn health() {}
/// async fn order() -> &'static str { "tea" }
/// async fn cancel(key: VerifiedKey) -> String { format!("cancelled by {}", key.subject()) }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
/// let alice = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
///
/// let orders = Routes::new()
///     .get("/{id}", "orders:read", order)
///     .delete("/{id}", "orders:write", cancel);
/// let (router, table): (Router, _) = Routes::new()
///     .get("/health", Access::Public, health)
///     .nest("/orders", orders)
///     .build(ApiKeyLayer::new(ring))?;
/// assert_eq!(table.routes()[1].to_string(), "GET /orders/{id}: orders:read");
///
/// for (method, path, status) in [
///     ("GET", "/orders/42", 200),
///     ("DELETE", "/orders/42", 403),
///     ("GET", "/orders/42/items", 403),
/// ] {
///     let request = Request::builder()
///         .method(method)
///         .uri(path)
///         .header("x-api-key", alice.secret().expose());
///     let response = router.clone().oneshot(request.body(Body::empty())?).await?;
///     assert_eq!(response.status(), status, "{method} {path}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// A layer of one handler is `Handler::layer`. The state is given to the router that [`build`](Self::build)
/// returns. What is added to that router later is outside the layer: it needs no key, and the table does not name it.
#[must_use = "routes do nothing until they are built"]
pub struct Routes<S = ()> {
    router: Router<S>,
    table: RouteTableBuilder,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Routes `GET` requests, and `HEAD` requests if they have no route of their own.
    pub fn get<H, T>(self, pattern: &str, access: impl IntoAccess, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(Method::GET, pattern, access, handler)
    }

    /// Routes `POST` requests.
    pub fn post<H, T>(self, pattern: &str, access: impl IntoAccess, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(Method::POST, pattern, access, handler)
    }

    /// Routes `PUT` requests.
    pub fn put<H, T>(self, pattern: &str, access: impl IntoAccess, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(Method::PUT, pattern, access, handler)
    }

    /// Routes `PATCH` requests.
    pub fn patch<H, T>(self, pattern: &str, access: impl IntoAccess, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(Method::PATCH, pattern, access, handler)
    }

    /// Routes `DELETE` requests.
    pub fn delete<H, T>(self, pattern: &str, access: impl IntoAccess, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(Method::DELETE, pattern, access, handler)
    }

    /// Routes the requests of a method: one of RFC 9110 §9.3 without `CONNECT`, or `PATCH`.
    pub fn route<H, T>(
        self,
        method: Method,
        pattern: &str,
        access: impl IntoAccess,
        handler: H,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        // The table refuses a method that there is no filter for.
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::CONNECT);
        self.add(Some(method), pattern, access, on(filter, handler))
    }

    /// Routes the methods that have no route of their own at this pattern.
    pub fn any_method<H, T>(self, pattern: &str, access: impl IntoAccess, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(None, pattern, access, any(handler))
    }

    /// Routes the methods that have no route of their own at this pattern to a service, such as one for files at
    /// `/files/{*path}`. The service sees the whole path.
    pub fn service<T>(self, pattern: &str, access: impl IntoAccess, service: T) -> Self
    where
        T: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
        T::Response: IntoResponse + 'static,
        T::Future: Send + 'static,
    {
        self.add(None, pattern, access, any_service(service))
    }

    /// Adds the routes of another with a prefix such as `/orders` or `/tenants/{id}`, as `Router::nest` does: its
    /// handlers see the path without the prefix, and its route `/` has the prefix as its path.
    pub fn nest(mut self, prefix: &str, routes: Self) -> Self {
        if prefix.len() < 2 || prefix.ends_with('/') || prefix.contains("{*") {
            let problem = "a prefix is a pattern that is not /, without a slash at its end and without {*rest}";
            self.table.fail(None, prefix, problem);
        } else if let Err(problem) = pattern::check(prefix) {
            self.table.fail(None, prefix, problem);
        }
        self.table.extend(prefix, routes.table);
        if self.table.is_valid() {
            self.router = self.router.nest(prefix, routes.router);
        }
        self
    }

    /// Adds the routes of another.
    pub fn merge(mut self, routes: Self) -> Self {
        self.table.extend("", routes.table);
        if self.table.is_valid() {
            self.router = self.router.merge(routes.router);
        }
        self
    }

    /// Wraps the handlers so far in a layer, which sees the requests that are admitted to them.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.router = self.router.layer(layer);
        self
    }

    /// Builds the router, with a layer that authenticates its requests and refuses those that the table does not
    /// admit, and the table.
    ///
    /// ```
    /// # use tower_api_key::guard::routes::Routes;
    /// # use tower_api_key::{ApiKeyLayer, KeyRing, store::MemoryStore};
    /// # let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let routes: Routes = Routes::new().get("/orders/:id", "orders:read", async || "tea");
    /// let error = routes.build(ApiKeyLayer::new(ring)).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "invalid route GET /orders/:id: a parameter is {name}, and the rest of a path is {*name}"
    /// );
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`RouteTableBuilder::build`].
    ///
    /// # Panics
    ///
    /// If the layer cannot check a caveat that its ring grants, as the layer by itself does.
    #[track_caller]
    pub fn build(self, layer: ApiKeyLayer) -> Result<(Router<S>, RouteTable), Error> {
        let table = self.table.build()?;
        let mut has_any = BTreeMap::<&str, bool>::new();
        for route in table.routes() {
            *has_any.entry(route.pattern()).or_default() |= route.method().is_none();
        }
        let mut router = self.router;
        for (pattern, _) in has_any.into_iter().filter(|(_, has_any)| !has_any) {
            // The table refuses these methods first. But axum adds `Allow` to a refusal if a pattern has no handler for
            // a method, and a stranger would learn which patterns there are.
            router = router.route(pattern, any(async || StatusCode::METHOD_NOT_ALLOWED));
        }
        let router = router.layer(layer.routes(table.clone()));
        Ok((router, table))
    }

    fn add(
        mut self,
        method: Option<Method>,
        pattern: &str,
        access: impl IntoAccess,
        handler: MethodRouter<S>,
    ) -> Self {
        self.table.add(method, pattern, access);
        // After an error there is no router, and axum would panic.
        if self.table.is_valid() {
            self.router = self.router.route(pattern, handler);
        }
        self
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self {
            router: Router::new(),
            table: RouteTableBuilder::default(),
        }
    }
}

impl<S> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
