//! Scopes, and sets of them.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use crate::error::{Error, ErrorKind};

/// One scope: 1 to 128 characters of the `scope-token` grammar of RFC 6749 §3.3, which is
/// visible ASCII without `"` and `\`.
///
/// A scope matches itself and nothing else: no wildcard, no hierarchy, no case folding.
///
/// ```
/// use tower_api_key::Scope;
///
/// assert_eq!(Scope::new("orders:read")?.as_str(), "orders:read");
/// assert!(Scope::new("orders read").is_err());
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(SmolStr);

impl Scope {
    /// The longest scope, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Parses a scope.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`] for text outside the grammar.
    pub fn new(text: &str) -> Result<Self, Error> {
        if Self::is_scope(text) {
            Ok(Self(SmolStr::new(text)))
        } else {
            Err(ErrorKind::InvalidScope.into())
        }
    }

    fn is_scope(text: &str) -> bool {
        (1..=Self::MAX_LEN).contains(&text.len())
            && text
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    }

    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The scopes that a key carries. An empty set grants nothing.
///
/// It is kept as RFC 6749 §3.3 writes it, scopes separated by single spaces, sorted and each once. Up to
/// 23 bytes need no allocation.
///
/// ```
/// use tower_api_key::ScopeSet;
///
/// let scopes: ScopeSet = "write read read".parse()?;
/// assert!(scopes.contains("read"));
/// assert!(!scopes.contains("rea"));
/// assert_eq!(scopes.to_string(), "read write");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeSet(SmolStr);

impl ScopeSet {
    /// The set that grants nothing.
    pub const fn empty() -> Self {
        Self(SmolStr::new_static(""))
    }

    /// Parses each text as one scope and collects them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`] if one of them is not a scope.
    pub fn new<I>(scopes: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        scopes
            .into_iter()
            .map(|scope| Scope::new(scope.as_ref()))
            .collect()
    }

    /// Whether exactly this scope is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|held| held == scope)
    }

    /// As [`contains`](Self::contains). Most keys have one scope, which is the set.
    #[inline]
    pub(crate) fn holds(&self, scope: &Scope) -> bool {
        self.0 == scope.0 || (self.0.len() > scope.0.len() && self.contains(scope.as_str()))
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether every scope of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|scope| other.contains(scope))
    }

    /// Whether there is no scope in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many scopes there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The scopes separated by single spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        Self(SmolStr::from(scopes.join(" ")))
    }
}

impl FromStr for ScopeSet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::empty());
        }
        // A store keeps a set as it is written here, and reads it at every request.
        let mut before = "";
        let as_written = text.split(' ').all(|scope| {
            let ascends = before < scope && Scope::is_scope(scope);
            before = scope;
            ascends
        });
        if as_written {
            return Ok(Self(SmolStr::new(text)));
        }
        Self::new(text.split(' '))
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

crate::text_type!(Scope, ScopeSet);
#[cfg(feature = "serde")]
crate::serde_text!(Scope, ScopeSet);
