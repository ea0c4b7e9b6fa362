//! One route of a table.

use std::fmt;

use http::Method;

use super::access::Access;
use crate::middleware::rejection::Required;

/// A route of a [`RouteTable`](crate::RouteTable): a method, a pattern of paths, and who may use it.
///
/// ```
/// use http::Method;
/// use tower_api_key::{Access, RouteTable};
///
/// let table = RouteTable::builder().get("/me", Access::AnyKey).build()?;
/// let [route] = table.routes() else { panic!("one route") };
/// assert_eq!(route.method(), Some(&Method::GET));
/// assert_eq!(route.to_string(), "GET /me: any key");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
pub struct Route {
    method: Option<Method>,
    pattern: Box<str>,
    access: Access,
    required: Option<Required>,
}

impl Route {
    pub(super) fn new(method: Option<Method>, pattern: Box<str>, access: Access) -> Self {
        let required = match &access {
            Access::Public | Access::AnyKey => None,
            Access::Scopes(requirement) => Some(Required::new(requirement.clone(), None)),
        };
        Self {
            method,
            pattern,
            access,
            required,
        }
    }

    /// What a key needs, if any valid key is not enough.
    #[inline]
    pub(super) fn required(&self) -> Option<&Required> {
        self.required.as_ref()
    }

    /// The method. `None` if it is the route of every method that has none of its own at this pattern.
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The pattern of its paths.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Who may use it.
    pub fn access(&self) -> &Access {
        &self.access
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().map_or("*", Method::as_str);
        write!(f, "{method} {}: {}", self.pattern, self.access)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("method", &self.method)
            .field("pattern", &self.pattern)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
