//! Scopes, sets of them, and what a route requires.

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
        f.write_str(&self.0)
    }
}

/// The scopes that a key carries. An empty set grants nothing.
///
/// It is kept as RFC 6749 §3.3 writes it, scopes separated by single spaces, sorted and each
/// once; up to 23 bytes need no allocation.
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
#[derive(Clone, Default, PartialEq, Eq, Hash)]
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
    /// [`ErrorKind::InvalidScope`] when one of them is not a scope.
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

    /// As [`contains`](Self::contains); of most keys the set is the one scope.
    #[inline]
    fn holds(&self, scope: &Scope) -> bool {
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
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a route asks of a key: one scope, all of several, any of several, nested at will.
///
/// ```
/// use tower_api_key::{Requirement, ScopeSet};
///
/// let writer = Requirement::all(["orders:read", "orders:write"])?;
/// let either = Requirement::any([Requirement::scope("admin")?, writer])?;
/// assert_eq!(either.to_string(), "admin or (orders:read and orders:write)");
///
/// assert!(either.is_met_by(&"admin".parse()?));
/// assert!(!either.is_met_by(&"orders:read".parse()?));
/// assert!(!either.is_met_by(&ScopeSet::empty()));
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Scope(Scope),
    All(Box<[Requirement]>),
    Any(Box<[Requirement]>),
}

impl Requirement {
    /// Asks for exactly this scope.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`] for text outside the grammar of [`Scope`].
    pub fn scope(scope: &str) -> Result<Self, Error> {
        Scope::new(scope).map(Self::from)
    }

    /// Asks for every one of these.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmptyRequirement`] where there is none, [`ErrorKind::InvalidScope`] where a
    /// text is not a scope.
    pub fn all<I>(requirements: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: IntoRequirement,
    {
        non_empty(requirements).map(|several| Self(Node::All(several)))
    }

    /// Asks for at least one of these.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmptyRequirement`] where there is none, [`ErrorKind::InvalidScope`] where a
    /// text is not a scope.
    pub fn any<I>(requirements: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: IntoRequirement,
    {
        non_empty(requirements).map(|several| Self(Node::Any(several)))
    }

    pub(crate) fn and(self, further: Self) -> Self {
        Self(Node::All(Box::new([self, further])))
    }

    /// Whether a key with these scopes may pass.
    #[inline]
    pub fn is_met_by(&self, scopes: &ScopeSet) -> bool {
        match &self.0 {
            Node::Scope(scope) => scopes.holds(scope),
            Node::All(several) => several.iter().all(|one| one.is_met_by(scopes)),
            Node::Any(several) => several.iter().any(|one| one.is_met_by(scopes)),
        }
    }

    /// Every scope that is mentioned, for the `scope` attribute of RFC 6750 §3.
    pub(crate) fn mentioned(&self) -> ScopeSet {
        fn collect<'a>(requirement: &'a Requirement, into: &mut Vec<&'a Scope>) {
            match &requirement.0 {
                Node::Scope(scope) => into.push(scope),
                Node::All(several) | Node::Any(several) => {
                    several.iter().for_each(|one| collect(one, into));
                }
            }
        }
        let mut scopes = Vec::new();
        collect(self, &mut scopes);
        scopes.into_iter().cloned().collect()
    }
}

fn non_empty<I>(requirements: I) -> Result<Box<[Requirement]>, Error>
where
    I: IntoIterator,
    I::Item: IntoRequirement,
{
    let several = requirements
        .into_iter()
        .map(IntoRequirement::into_requirement)
        .collect::<Result<Box<[_]>, _>>()?;
    if several.is_empty() {
        return Err(ErrorKind::EmptyRequirement.into());
    }
    Ok(several)
}

impl From<Scope> for Requirement {
    fn from(scope: Scope) -> Self {
        Self(Node::Scope(scope))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (several, word) = match &self.0 {
            Node::Scope(scope) => return f.write_str(scope.as_str()),
            Node::All(several) => (several, " and "),
            Node::Any(several) => (several, " or "),
        };
        for (index, one) in several.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            match &one.0 {
                Node::Scope(_) => write!(f, "{one}")?,
                Node::All(_) | Node::Any(_) => write!(f, "({one})")?,
            }
        }
        Ok(())
    }
}

/// What can be said where a requirement is asked for: a scope as text, a [`Scope`], or a
/// [`Requirement`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which scopes are required",
    note = "pass a scope such as \"orders:read\", or `Requirement::all([..])?` or `Requirement::any([..])?`"
)]
pub trait IntoRequirement: sealed::Sealed {
    /// Parses the requirement.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`] where a text is not a scope.
    fn into_requirement(self) -> Result<Requirement, Error>;
}

impl IntoRequirement for &str {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Requirement::scope(self)
    }
}

impl IntoRequirement for Scope {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Ok(self.into())
    }
}

impl IntoRequirement for Requirement {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Ok(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for super::Scope {}
    impl Sealed for super::Requirement {}
}

#[cfg(feature = "serde")]
crate::serde_text!(Scope, ScopeSet);
