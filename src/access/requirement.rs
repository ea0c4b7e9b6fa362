//! The requirements of a route.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::access::mark::ShortMark;
use crate::access::{scope::Scope, scope_set::ScopeSet};
use crate::error::{Error, ErrorKind};

/// The scopes that a route requires of a key: one scope, all of several, any of several, nested at will.
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement(Node);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Node {
    Scope(Scope),
    All(All),
    Any(Box<[Requirement]>),
}

/// Every one of several requirements.
#[derive(Debug, Clone)]
struct All {
    several: Box<[Requirement]>,
    /// All of them, if each is a short scope.
    short: Option<Box<[ShortMark]>>,
}

impl All {
    fn of(several: Box<[Requirement]>) -> Self {
        let short = several.iter().map(Requirement::short_mark).collect();
        Self { several, short }
    }

    #[inline]
    fn is_met_by(&self, scopes: &ScopeSet) -> bool {
        self.short
            .as_ref()
            .is_some_and(|short| scopes.has_first(short))
            || self.are_met_by(scopes)
    }

    #[inline(never)]
    fn are_met_by(&self, scopes: &ScopeSet) -> bool {
        self.several.iter().all(|one| one.is_part_met_by(scopes))
    }
}

/// The marks follow from the requirements.
impl PartialEq for All {
    fn eq(&self, other: &Self) -> bool {
        self.several == other.several
    }
}

impl Eq for All {}

impl Hash for All {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.several.hash(state);
    }
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
    /// [`ErrorKind::EmptyRequirement`] if there is none, [`ErrorKind::InvalidScope`] if a text is not a
    /// scope.
    pub fn all<I>(requirements: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: IntoRequirement,
    {
        non_empty(requirements).map(|several| Self(Node::All(All::of(several))))
    }

    /// Asks for at least one of these.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmptyRequirement`] if there is none, [`ErrorKind::InvalidScope`] if a text is not a
    /// scope.
    pub fn any<I>(requirements: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: IntoRequirement,
    {
        non_empty(requirements).map(|several| Self(Node::Any(several)))
    }

    /// What a route requires, parsed when the route is built.
    #[track_caller]
    pub(crate) fn of_route(requirement: impl IntoRequirement) -> Self {
        match requirement.into_requirement() {
            Ok(requirement) => requirement,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn and(self, further: Self) -> Self {
        Self(Node::All(All::of(Box::new([self, further]))))
    }

    /// Whether a key with these scopes may pass.
    #[inline]
    pub fn is_met_by(&self, scopes: &ScopeSet) -> bool {
        match &self.0 {
            Node::Scope(scope) => scopes.holds(scope),
            Node::All(all) => all.is_met_by(scopes),
            Node::Any(several) => several.iter().any(|one| one.is_part_met_by(scopes)),
        }
    }

    fn short_mark(&self) -> Option<ShortMark> {
        match &self.0 {
            Node::Scope(scope) => ShortMark::of(scope.mark()),
            Node::All(_) | Node::Any(_) => None,
        }
    }

    /// The same for a part. Most parts are scopes, for each of which nothing is called.
    #[allow(
        clippy::inline_always,
        reason = "a call would cost more than the comparison"
    )]
    #[inline(always)]
    fn is_part_met_by(&self, scopes: &ScopeSet) -> bool {
        match &self.0 {
            Node::Scope(scope) => scopes.holds(scope),
            Node::All(_) | Node::Any(_) => self.is_nested_met_by(scopes),
        }
    }

    #[inline(never)]
    fn is_nested_met_by(&self, scopes: &ScopeSet) -> bool {
        self.is_met_by(scopes)
    }

    /// Each scope by which scopes that meet this requirement do so. Of `any`, each part that they meet counts: without one
    /// of them, another would have let the request pass, and which of them the key could do without is not known.
    pub(crate) fn each_exercised(&self, scopes: &ScopeSet, note: &mut dyn FnMut(&Scope)) {
        match &self.0 {
            Node::Scope(scope) => note(scope),
            Node::All(All { several, .. }) => {
                for one in several {
                    one.each_exercised(scopes, note);
                }
            }
            Node::Any(several) => {
                for one in several.iter().filter(|one| one.is_met_by(scopes)) {
                    one.each_exercised(scopes, note);
                }
            }
        }
    }

    /// Every scope that is mentioned, for the `scope` attribute of RFC 6750 §3.
    pub(crate) fn mentioned(&self) -> ScopeSet {
        fn collect<'a>(requirement: &'a Requirement, into: &mut Vec<&'a Scope>) {
            match &requirement.0 {
                Node::Scope(scope) => into.push(scope),
                Node::All(All { several, .. }) | Node::Any(several) => {
                    several.iter().for_each(|one| collect(one, into));
                }
            }
        }
        let mut scopes = Vec::new();
        collect(self, &mut scopes);
        scopes.into_iter().cloned().collect()
    }
}

#[cfg(feature = "openapi")]
impl Requirement {
    /// The sets of scopes of which a key needs one: the requirement as `any` of `all`s, without a set that
    /// another is part of. `None` if there are more than `most`, also on the way.
    pub(crate) fn alternatives(&self, most: usize) -> Option<Vec<Alternative>> {
        let mut alternatives: Vec<Alternative> = match &self.0 {
            Node::Scope(scope) => vec![Alternative::from([scope.clone()])],
            Node::Any(several) => {
                let each = several.iter().map(|one| one.alternatives(most));
                each.collect::<Option<Vec<_>>>()?.concat()
            }
            Node::All(All { several, .. }) => {
                several
                    .iter()
                    .try_fold(vec![Alternative::new()], |so_far, one| {
                        let further = one.alternatives(most)?;
                        let together = so_far.iter().flat_map(|left| {
                            let with =
                                move |right: &Alternative| left.union(right).cloned().collect();
                            further.iter().map(with)
                        });
                        let together = minimal(together.collect());
                        (together.len() <= most).then_some(together)
                    })?
            }
        };
        alternatives = minimal(alternatives);
        (alternatives.len() <= most).then_some(alternatives)
    }
}

/// Scopes that a key needs together.
#[cfg(feature = "openapi")]
pub(crate) type Alternative = std::collections::BTreeSet<Scope>;

/// Without the sets that another, or an equal one before, is part of.
#[cfg(feature = "openapi")]
fn minimal(sets: Vec<Alternative>) -> Vec<Alternative> {
    let is_needless = |(place, set): (usize, &Alternative)| {
        let mut others = sets.iter().enumerate();
        others.any(|(other_place, other)| {
            other.is_subset(set) && (other != set || other_place < place)
        })
    };
    let needless: Vec<bool> = sets.iter().enumerate().map(is_needless).collect();
    let kept = sets.into_iter().zip(needless);
    kept.filter_map(|(set, is_needless)| (!is_needless).then_some(set))
        .collect()
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
            Node::All(All { several, .. }) => (several, " and "),
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

/// The types that express a requirement: a scope as text, a [`Scope`], or a [`Requirement`], each of
/// them owned or borrowed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which scopes are required",
    note = "pass a scope such as \"orders:read\", or `Requirement::all([..])?` or `Requirement::any([..])?`"
)]
pub trait IntoRequirement: sealed::Sealed {
    /// Parses the requirement.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`] if a text is not a scope.
    fn into_requirement(self) -> Result<Requirement, Error>;
}

impl IntoRequirement for &str {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Requirement::scope(self)
    }
}

impl IntoRequirement for String {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Requirement::scope(&self)
    }
}

impl IntoRequirement for &String {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Requirement::scope(self)
    }
}

impl IntoRequirement for &Scope {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Ok(self.clone().into())
    }
}

impl IntoRequirement for &Requirement {
    fn into_requirement(self) -> Result<Requirement, Error> {
        Ok(self.clone())
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
    impl Sealed for String {}
    impl Sealed for &String {}
    impl Sealed for crate::access::scope::Scope {}
    impl Sealed for &crate::access::scope::Scope {}
    impl Sealed for super::Requirement {}
    impl Sealed for &super::Requirement {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short scopes, scopes of 15 and of 16 bytes, and long ones, in sets with a place for each and in larger ones.
    #[test]
    fn r03_all_is_met_by_a_set_with_each_of_them_alone() {
        for name in [
            "s",
            "scope-of-15-b",
            "scope-of-16-by",
            "a-scope-that-is-long",
        ] {
            let scope = |number: usize| format!("{name}{number:02}");
            for count in 1..=40 {
                let those: Vec<String> = (0..count).map(scope).collect();
                let set = ScopeSet::new(&those).unwrap();
                let all = |these: &[String]| Requirement::all(these).unwrap();
                assert!(all(&those).is_met_by(&set), "{those:?}");
                assert!(!all(&those).is_met_by(&ScopeSet::empty()));
                for missing in 0..count {
                    let mut less = those.clone();
                    let more = std::mem::replace(&mut less[missing], scope(count));
                    assert!(!all(&less).is_met_by(&set), "{less:?}");
                    less[missing] = format!("{more}x");
                    assert!(!all(&less).is_met_by(&set), "{less:?}");
                    less[missing] = more[..more.len() - 1].to_owned();
                    assert!(!all(&less).is_met_by(&set), "{less:?}");
                    let both = [&those[missing], &those[count - 1]];
                    assert!(Requirement::all(both).unwrap().is_met_by(&set));
                }
            }
        }
    }
}
