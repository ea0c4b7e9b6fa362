//! The authority that a narrowing takes from a key.

use crate::access::caveat::Caveats;
use crate::access::scope_set::ScopeSet;
use crate::error::Error;

/// The authority that [`KeyRing::narrow`](crate::KeyRing::narrow) takes from a key: the scopes that it
/// keeps, and the caveats that it gets.
///
/// A `&ScopeSet` converts into one that keeps these scopes and adds no caveat.
///
/// ```
/// use tower_api_key::Narrowing;
///
/// let narrowing = Narrowing::new()
///     .to_scopes(["orders:read"])?
///     .with_caveats(["net=10.0.0.0/8"])?;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a narrowing does nothing until it is passed to `narrow`"]
pub struct Narrowing {
    /// The scopes that are kept; `None` for all.
    pub(crate) scopes: Option<ScopeSet>,
    pub(crate) caveats: Caveats,
}

impl Narrowing {
    /// Takes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps only these scopes, parsing each text. Without it, the key keeps all its scopes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`](crate::ErrorKind::InvalidScope) if one of them is not a scope.
    pub fn to_scopes<I>(self, scopes: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(self.to_scope_set(ScopeSet::new(scopes)?))
    }

    /// Keeps only the scopes of a parsed set.
    pub fn to_scope_set(mut self, scopes: ScopeSet) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// Adds these caveats to those of the key, parsing each text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`](crate::ErrorKind::InvalidCaveat) if one of them is not a
    /// [`Caveat`](crate::Caveat) that this version knows.
    pub fn with_caveats<I>(self, caveats: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(self.with_caveat_set(Caveats::new(caveats)?))
    }

    /// Adds the caveats of a parsed set.
    pub fn with_caveat_set(mut self, caveats: Caveats) -> Self {
        self.caveats = caveats;
        self
    }
}

impl From<&ScopeSet> for Narrowing {
    fn from(scopes: &ScopeSet) -> Self {
        Self::new().to_scope_set(scopes.clone())
    }
}
