//! The authority that a narrowing takes from a key.

use crate::access::caveat::Caveats;
use crate::access::scope_set::ScopeSet;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::grant::{kept, parsed};

/// The authority that [`KeyRing::narrow`](crate::KeyRing::narrow) takes from a key: the scopes that it
/// keeps, and the caveats that it gets.
///
/// Each part is a text or a parsed value. If texts cannot be parsed, [`KeyRing::narrow`](crate::KeyRing::narrow)
/// returns the error of the first one, and does nothing. A `&ScopeSet` converts into a narrowing that keeps
/// these scopes and adds no caveat.
///
/// ```
/// use tower_api_key::Narrowing;
///
/// let narrowing = Narrowing::new()
///     .to_scopes(["orders:read"])
///     .with_caveats(["net=10.0.0.0/8"]);
/// # let _ = narrowing;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a narrowing does nothing until it is passed to `narrow`"]
pub struct Narrowing {
    parts: Parts,
    /// The first part that could not be parsed.
    problem: Option<ErrorKind>,
}

/// The parts of a narrowing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    /// The scopes that are kept; `None` for all.
    pub(crate) scopes: Option<ScopeSet>,
    pub(crate) caveats: Caveats,
}

impl Narrowing {
    /// Takes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps only these scopes: a [`ScopeSet`], a text of scopes with single spaces between them, or a list
    /// of texts, each of which is one scope. Without it, the key keeps all its scopes.
    pub fn to_scopes<S>(mut self, scopes: S) -> Self
    where
        S: TryInto<ScopeSet>,
        S::Error: Into<Error>,
    {
        if let Some(scopes) = kept(&mut self.problem, parsed(scopes)) {
            self.parts.scopes = Some(scopes);
        }
        self
    }

    /// Adds these caveats to those of the key: [`Caveats`], a text of caveats with single spaces between them,
    /// or a list of texts, each of which is one caveat.
    pub fn with_caveats<C>(mut self, caveats: C) -> Self
    where
        C: TryInto<Caveats>,
        C::Error: Into<Error>,
    {
        if let Some(caveats) = kept(&mut self.problem, parsed(caveats)) {
            self.parts.caveats = caveats;
        }
        self
    }

    /// The parts, if each could be parsed.
    pub(crate) fn checked(&self) -> Result<&Parts, Error> {
        match self.problem {
            Some(kind) => Err(kind.into()),
            None => Ok(&self.parts),
        }
    }
}

impl From<&ScopeSet> for Narrowing {
    fn from(scopes: &ScopeSet) -> Self {
        Self::new().to_scopes(scopes)
    }
}
