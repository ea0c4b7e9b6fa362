//! Sets of scopes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::mark::{Mark, ShortMark};
use super::scope::Scope;
use super::scope_table::ScopeTable;
use crate::error::Error;

/// The scopes that a key carries. An empty set grants nothing.
///
/// It is kept as RFC 6749 §3.3 writes it, scopes separated by single spaces, sorted and each once. Clones share
/// the text. Whether a scope is in the set takes the same time for a set of one scope and of a hundred.
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
#[derive(Clone, Default)]
pub struct ScopeSet(Option<Arc<ScopeTable>>);

impl ScopeSet {
    /// The set that grants nothing.
    pub const fn empty() -> Self {
        Self(None)
    }

    /// Parses each text as one scope and collects them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`](crate::ErrorKind::InvalidScope) if one of them is not a scope.
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

    /// The set of a text of so many scopes, sorted, with single spaces between.
    fn of(text: Box<str>, count: usize) -> Self {
        if text.is_empty() {
            return Self::empty();
        }
        Self(Some(Arc::new(ScopeTable::of(text, count))))
    }

    /// Whether exactly this scope is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        Mark::of(scope.as_bytes()).is_some_and(|mark| self.find(&mark, || scope))
    }

    /// As [`contains`](Self::contains), for a scope that was parsed before.
    #[allow(
        clippy::inline_always,
        reason = "a call would cost more than the comparison"
    )]
    #[inline(always)]
    pub(crate) fn holds(&self, scope: &Scope) -> bool {
        self.find(scope.mark(), || scope.as_str())
    }

    /// Whether all of these are where they are looked for first. If not, they may be in the set all the same.
    #[inline]
    pub(super) fn has_first(&self, scopes: &[ShortMark]) -> bool {
        self.0.as_deref().is_some_and(|held| held.has_first(scopes))
    }

    #[allow(
        clippy::inline_always,
        reason = "a call would cost more than the comparison"
    )]
    #[inline(always)]
    fn find<'a>(&self, mark: &Mark, scope: impl Fn() -> &'a str) -> bool {
        self.0
            .as_deref()
            .is_some_and(|held| held.contains(mark, scope))
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.as_str().split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether every scope of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|scope| other.contains(scope))
    }

    /// The scopes that are in both sets.
    ///
    /// ```
    /// use tower_api_key::ScopeSet;
    ///
    /// let held: ScopeSet = "orders:read orders:write".parse()?;
    /// let both = held.intersection(&"invoices:read orders:read".parse()?);
    /// assert_eq!(both.as_str(), "orders:read");
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.those(|scope| other.contains(scope))
    }

    /// The scopes that are in one of the sets.
    ///
    /// ```
    /// use tower_api_key::ScopeSet;
    ///
    /// let read: ScopeSet = "orders:read".parse()?;
    /// assert_eq!(read.union(&"invoices:read".parse()?).as_str(), "invoices:read orders:read");
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_subset(self) {
            return self.clone();
        }
        let mut each: Vec<&str> = self.iter().chain(other.iter()).collect();
        each.sort_unstable();
        each.dedup();
        Self::of(each.join(" ").into_boxed_str(), each.len())
    }

    /// The scopes of this set that are not in the other.
    ///
    /// ```
    /// use tower_api_key::ScopeSet;
    ///
    /// let held: ScopeSet = "orders:read orders:write".parse()?;
    /// assert_eq!(held.difference(&"orders:read".parse()?).as_str(), "orders:write");
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.those(|scope| !other.contains(scope))
    }

    fn those(&self, are_kept: impl Fn(&str) -> bool) -> Self {
        let kept: Vec<&str> = self.iter().filter(|scope| are_kept(scope)).collect();
        // In the order of this set.
        Self::of(kept.join(" ").into_boxed_str(), kept.len())
    }

    /// How many places there are, in each of which is at most one scope.
    pub(crate) fn places(&self) -> usize {
        self.0.as_deref().map_or(0, |held| held.places.len())
    }

    /// The place of a scope, if it is in the set.
    pub(crate) fn place_of(&self, scope: &Scope) -> Option<usize> {
        self.0.as_deref()?.place_of(scope.mark(), || scope.as_str())
    }

    /// The scopes whose place is one of these.
    pub(crate) fn at_places(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let Some(held) = self.0.as_deref() else {
            return Self::empty();
        };
        self.those(|scope| {
            let place = Mark::of(scope.as_bytes()).and_then(|mark| held.place_of(&mark, || scope));
            place.is_some_and(&is_kept)
        })
    }

    /// Whether there is no scope in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many scopes there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is another clone of the set.
    pub(crate) fn is_shared(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|held| Arc::strong_count(held) > 1)
    }

    /// The scopes separated by single spaces.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().map_or("", |held| &held.text)
    }
}

/// How many scopes a text has if it is written as a set is kept: sorted, each once, with single spaces between.
/// `None` for any other text.
fn count_as_kept(text: &[u8]) -> Option<usize> {
    let (mut count, mut before, mut rest) = (0, &text[..0], text);
    loop {
        let (scope, after) = rest.split_at_checked(Scope::len_at_start_of(rest)?)?;
        // The empty text, which is no scope, is before none.
        if before >= scope {
            return None;
        }
        count += 1;
        match after {
            [] => return Some(count),
            [b' ', after @ ..] => (before, rest) = (scope, after),
            _ => return None,
        }
    }
}

impl PartialEq for ScopeSet {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours.text == theirs.text,
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for ScopeSet {}

impl PartialOrd for ScopeSet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ScopeSet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for ScopeSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        Self::of(scopes.join(" ").into_boxed_str(), scopes.len())
    }
}

impl FromStr for ScopeSet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::empty());
        }
        // A store keeps a set as it is written here, and reads it at every request.
        match count_as_kept(text.as_bytes()) {
            Some(count) => Ok(Self::of(text.into(), count)),
            None => Self::new(text.split(' ')),
        }
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

crate::text_type!(ScopeSet);
crate::set_type!(ScopeSet);
#[cfg(feature = "serde")]
crate::serde_text!(ScopeSet);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Scopes of 1 to 40 characters, of which many share their start or their end.
    fn scope(number: u32) -> String {
        let word = ["a", "orders:", "administration/of/orders/"][number as usize % 3];
        format!("{word}{number}{}", "z".repeat(number as usize % 11))
    }

    #[test]
    fn r03_a_set_holds_its_scopes_and_no_other() {
        for size in [0, 1, 2, 3, 4, 7, 8, 9, 30, 100, 1_000] {
            let within: BTreeSet<String> = (0..size).map(|number| scope(7 * number)).collect();
            let set = ScopeSet::new(&within).unwrap();
            assert_eq!(set.len(), within.len());
            for number in 0..7 * size + 20 {
                let text = scope(number);
                assert_eq!(set.contains(&text), within.contains(&text), "{size} {text}");
                let parsed = Scope::new(&text).unwrap();
                assert_eq!(set.holds(&parsed), within.contains(&text), "{size} {text}");
            }
            for outside in ["", " ", "a ", "a a", &"z".repeat(200)] {
                assert!(!set.contains(outside), "{size} {outside:?}");
            }
        }
    }

    #[test]
    fn r30_a_text_of_any_order_is_read_as_the_same_set_or_refused() {
        let kept: ScopeSet = "a ab b".parse().unwrap();
        for text in ["a ab b", "b ab a", "a a ab b", "a ab b b", "ab a b"] {
            let read: ScopeSet = text.parse().unwrap();
            assert_eq!(read, kept, "{text}");
            assert_eq!(read.as_str(), "a ab b");
            assert!(["a", "ab", "b"].iter().all(|scope| read.contains(scope)));
        }
        let longest = "z".repeat(Scope::MAX_LEN);
        assert!(format!("a {longest}").parse::<ScopeSet>().is_ok());
        let too_long = format!("a {longest}z");
        for text in [
            " ", "a ", " a", "a  b", "a\tb", "a\"", "a \\", "a \u{e9}", "a b\0", "a\nb", &too_long,
        ] {
            let error = text.parse::<ScopeSet>().unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidScope, "{text:?}");
        }
    }

    #[test]
    fn r03_long_scopes_that_differ_at_their_end_alone_are_different() {
        let start = "administration/of/orders:";
        let set: ScopeSet = format!("{start}read").parse().unwrap();
        assert!(set.contains(&format!("{start}read")));
        for other in ["reae", "rea", "reada", "Read", ""] {
            assert!(!set.contains(&format!("{start}{other}")), "{other}");
        }
        // The same mark is not enough for a text that it does not say in full.
        let held = set.0.as_deref().unwrap();
        let mark = Mark::of(format!("{start}read").as_bytes()).unwrap();
        let other = format!("{start}reae");
        assert!(!held.contains(&mark, || &other));
    }
}
