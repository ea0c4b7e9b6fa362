//! Who may use a route.

use std::fmt;

use crate::access::requirement::{IntoRequirement, Requirement};
use crate::error::Error;

/// Who may use a route of a [`RouteTable`](crate::RouteTable).
///
/// ```
/// use tower_api_key::{Access, Requirement};
///
/// let scopes = Access::Scopes(Requirement::scope("orders:read")?);
/// assert_eq!(scopes.to_string(), "orders:read");
/// assert_eq!(Access::Public.to_string(), "public");
/// assert_eq!(Access::AnyKey.to_string(), "any key");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody. A request without a key passes, and has no [`VerifiedKey`](crate::VerifiedKey). A key that is
    /// presented must be valid all the same: a request with a wrong one is refused, as on any other route.
    Public,
    /// The holder of any valid key.
    AnyKey,
    /// The holder of a key with these scopes.
    Scopes(Requirement),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.pad("public"),
            Self::AnyKey => f.pad("any key"),
            Self::Scopes(requirement) => requirement.fmt(f),
        }
    }
}

/// The types that say who may use a route: an [`Access`], or what is a requirement
/// ([`IntoRequirement`]), such as the text of a scope.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say who may use a route",
    note = "pass a scope such as \"orders:read\", a `Requirement`, `Access::AnyKey` or `Access::Public`"
)]
pub trait IntoAccess: sealed::Sealed {
    /// Parses the access.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`](crate::ErrorKind::InvalidScope) if a text is not a scope.
    fn into_access(self) -> Result<Access, Error>;
}

impl IntoAccess for Access {
    fn into_access(self) -> Result<Access, Error> {
        Ok(self)
    }
}

impl<T: IntoRequirement> IntoAccess for T {
    fn into_access(self) -> Result<Access, Error> {
        self.into_requirement().map(Access::Scopes)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Access {}
    impl<T: super::IntoRequirement> Sealed for T {}
}
