//! Routes as they are named, one after the other.

use http::Method;

use super::access::{Access, IntoAccess};
use super::lookup::Lookup;
use super::route::Route;
use super::table::RouteTable;
use crate::error::{Error, ErrorKind};

impl RouteTable {
    /// Names routes.
    pub fn builder() -> RouteTableBuilder {
        RouteTableBuilder::default()
    }
}

/// Names the routes of a [`RouteTable`].
///
/// It keeps the first error, with the place of the route, until [`build`](Self::build) returns it.
///
/// ```
/// use tower_api_key::RouteTable;
///
/// let error = RouteTable::builder()
///     .get("/orders/{id}", "orders:read")
///     .get("/orders/{number}", "orders:read")
///     .build()
///     .unwrap_err();
/// assert_eq!(error.to_string(), "invalid route GET /orders/{number}: it clashes with /orders/{id}");
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "routes do nothing until they are built and given to a layer"]
pub struct RouteTableBuilder {
    routes: Vec<(Option<Method>, Box<str>, Access)>,
    lookup: Lookup,
    error: Option<Box<str>>,
}

impl RouteTableBuilder {
    /// Names the route of `GET` requests, and of `HEAD` requests if they have none of their own.
    pub fn get(self, pattern: &str, access: impl IntoAccess) -> Self {
        self.route(Method::GET, pattern, access)
    }

    /// Names the route of `POST` requests.
    pub fn post(self, pattern: &str, access: impl IntoAccess) -> Self {
        self.route(Method::POST, pattern, access)
    }

    /// Names the route of `PUT` requests.
    pub fn put(self, pattern: &str, access: impl IntoAccess) -> Self {
        self.route(Method::PUT, pattern, access)
    }

    /// Names the route of `PATCH` requests.
    pub fn patch(self, pattern: &str, access: impl IntoAccess) -> Self {
        self.route(Method::PATCH, pattern, access)
    }

    /// Names the route of `DELETE` requests.
    pub fn delete(self, pattern: &str, access: impl IntoAccess) -> Self {
        self.route(Method::DELETE, pattern, access)
    }

    /// Names the route of a method: one of RFC 9110 §9.3 without `CONNECT`, or `PATCH`.
    pub fn route(mut self, method: Method, pattern: &str, access: impl IntoAccess) -> Self {
        self.add(Some(method), pattern, access);
        self
    }

    /// Names one route for the methods that have none of their own at this pattern.
    pub fn any_method(mut self, pattern: &str, access: impl IntoAccess) -> Self {
        self.add(None, pattern, access);
        self
    }

    /// Names a method of a gRPC service: `POST /package.Service/Method`.
    ///
    /// ```
    /// use tower_api_key::{Access, RouteTable};
    ///
    /// let table = RouteTable::builder()
    ///     .grpc("shop.v1.Orders", "List", "orders:read")
    ///     .grpc("shop.v1.Orders", "Create", "orders:write")
    ///     .grpc("grpc.health.v1.Health", "Check", Access::Public)
    ///     .build()?;
    /// assert_eq!(table.routes()[0].pattern(), "/shop.v1.Orders/List");
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn grpc(mut self, service: &str, method: &str, access: impl IntoAccess) -> Self {
        let pattern = format!("/{service}/{method}");
        // The names of protobuf, of which the service's has dots.
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if service.split('.').all(is_name) && is_name(method) {
            self.add(Some(Method::POST), &pattern, access);
        } else {
            self.fail(
                Some(&Method::POST),
                &pattern,
                "no names of a gRPC service and its method",
            );
        }
        self
    }

    /// Builds the table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRoute`] for the first route that cannot be, with its method and pattern: no request
    /// can match it, it clashes with an earlier one, its method is unknown, or a text is not a scope.
    pub fn build(self) -> Result<RouteTable, Error> {
        if let Some(error) = self.error {
            return Err(Error::with_limit(ErrorKind::InvalidRoute, &error));
        }
        let hidden = |(_, pattern, _): &&(_, Box<str>, _)| !self.lookup.is_reached(pattern);
        if let Some((method, pattern, _)) = self.routes.iter().find(hidden) {
            let place = place(method.as_ref(), pattern);
            let error = format!("{place}: no request can match, because other patterns do");
            return Err(Error::with_limit(ErrorKind::InvalidRoute, &error));
        }
        let routes = self.routes.into_iter();
        let routes = routes.map(|(method, pattern, access)| Route::new(method, pattern, access));
        Ok(RouteTable::new(routes.collect(), self.lookup))
    }

    /// Whether every route so far can be.
    #[cfg(feature = "axum")]
    pub(super) fn is_valid(&self) -> bool {
        self.error.is_none()
    }

    /// Adds the routes of another, whose patterns come after a prefix.
    #[cfg(feature = "axum")]
    pub(super) fn extend(&mut self, prefix: &str, other: Self) {
        if self.error.is_none() {
            self.error = other.error;
        }
        for (method, pattern, access) in other.routes {
            let pattern = match (prefix, &*pattern) {
                ("", pattern) => pattern.to_owned(),
                (prefix, "/") => prefix.to_owned(),
                (prefix, pattern) => format!("{prefix}{pattern}"),
            };
            self.add(method, &pattern, access);
        }
    }

    pub(super) fn add(&mut self, method: Option<Method>, pattern: &str, access: impl IntoAccess) {
        let place = self.routes.len();
        let inserted = self.lookup.insert(method.as_ref(), pattern, place);
        let access =
            inserted.and_then(|()| access.into_access().map_err(|error| error.to_string()));
        match access {
            Ok(access) => self.routes.push((method, pattern.into(), access)),
            Err(problem) => self.fail(method.as_ref(), pattern, &problem),
        }
    }

    pub(super) fn fail(&mut self, method: Option<&Method>, pattern: &str, problem: &str) {
        if self.error.is_none() {
            self.error = Some(format!("{}: {problem}", place(method, pattern)).into());
        }
    }
}

/// How a route is named to its author.
fn place(method: Option<&Method>, pattern: &str) -> String {
    let method = method.map_or("any method of", Method::as_str);
    format!("{method} {pattern}")
}
