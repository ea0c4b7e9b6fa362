//! The caveats of a key.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::{Caveat, Facts, caveat};
use crate::error::{Error, ErrorKind};

/// The restrictions of a key: a set of texts, of which a request must meet every one.
///
/// As a text it is sorted, with single spaces between the caveats, like a [`ScopeSet`](crate::ScopeSet). A
/// text may be a caveat that this version does not know, because a newer one has issued the key. Such a key
/// is refused as [`Invalid`](crate::RejectionKind::Invalid), with the cause
/// [`UnknownCaveat`](crate::InvalidCause::UnknownCaveat). A caveat is at most 1,024 characters long, of those
/// that a scope may have (RFC 6749 §3.3), and a set at most 4,096.
///
/// ```
/// use tower_api_key::Caveats;
///
/// let caveats: Caveats = "net=10.0.0.0/8 moon=full".parse()?;
/// assert_eq!(caveats.as_str(), "moon=full net=10.0.0.0/8");
/// assert_eq!(caveats.unknown().collect::<Vec<_>>(), ["moon=full"]);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Caveats(Option<Arc<Set>>);

/// The caveats of a set that is not empty. The rest follows from the text.
struct Set {
    text: Box<str>,
    known: Box<[Caveat]>,
    has_unknown: bool,
}

/// Why a request does not meet the caveats of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// One of them is unknown to this version.
    Unknown,
    /// The facts do not meet one of them, or the fact that it needs is missing.
    ByFacts,
}

impl Caveats {
    /// The longest text of a set, in bytes.
    pub const MAX_LEN: usize = 4_096;
    /// The longest caveat, in bytes.
    pub const MAX_CAVEAT_LEN: usize = caveat::MAX_LEN;

    /// No restriction.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Parses caveats that this version knows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`] for one that it does not know, and for too long a set.
    pub fn new<I>(caveats: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let texts: Result<Vec<String>, Error> = caveats
            .into_iter()
            .map(|text| Ok(text.as_ref().parse::<Caveat>()?.to_string()))
            .collect();
        texts?.join(" ").parse()
    }

    /// The set with another caveat.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`] if the set would be too long.
    pub fn with(&self, caveat: &Caveat) -> Result<Self, Error> {
        self.union(&caveat.to_string().parse()?)
    }

    /// All caveats of both sets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`] if the set would be too long.
    pub fn union(&self, other: &Self) -> Result<Self, Error> {
        match (&self.0, &other.0) {
            (_, None) => Ok(self.clone()),
            (None, _) => Ok(other.clone()),
            // A caveat of both counts once.
            (Some(_), Some(_)) => {
                let texts: BTreeSet<&str> = self.iter().chain(other.iter()).collect();
                Vec::from_iter(texts).join(" ").parse()
            }
        }
    }

    /// Whether every caveat of the other set is in this one.
    pub fn is_superset(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|caveat| self.iter().any(|own| own == caveat))
    }

    /// Whether there is no restriction.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The caveats as texts, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.as_str().split(' ').filter(|caveat| !caveat.is_empty())
    }

    /// The caveats that this version knows.
    pub fn known(&self) -> &[Caveat] {
        self.0.as_ref().map_or(&[], |set| &set.known)
    }

    /// The caveats that this version does not know.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|text| Caveat::known(text).is_none())
    }

    /// The whole set as a text, empty if there is no restriction.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |set| &set.text)
    }

    /// Whether a request with these facts meets every caveat.
    #[cold]
    pub(crate) fn check(&self, facts: &Facts) -> Result<(), Unmet> {
        match &self.0 {
            None => Ok(()),
            Some(set) if set.has_unknown => Err(Unmet::Unknown),
            Some(set) if set.known.iter().all(|caveat| caveat.is_met_by(facts)) => Ok(()),
            Some(_) => Err(Unmet::ByFacts),
        }
    }
}

impl PartialEq for Caveats {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Caveats {}

impl PartialOrd for Caveats {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Caveats {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Caveats {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl FromStr for Caveats {
    type Err = Error;

    /// Parses a set, also one with caveats that this version does not know.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`] for a text with other characters or spaces than described, or too long a
    /// one.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::none());
        }
        let mut caveats: Vec<&str> = text.split(' ').collect();
        if text.len() > Self::MAX_LEN || !caveats.iter().copied().all(caveat::is_caveat) {
            return Err(ErrorKind::InvalidCaveat.into());
        }
        caveats.sort_unstable();
        caveats.dedup();
        let known: Box<[Caveat]> = caveats.iter().copied().filter_map(Caveat::known).collect();
        Ok(Self(Some(Arc::new(Set {
            has_unknown: known.len() < caveats.len(),
            known,
            text: caveats.join(" ").into(),
        }))))
    }
}

impl fmt::Display for Caveats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Caveats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

crate::text_type!(Caveats);
crate::set_type!(Caveats);
#[cfg(feature = "serde")]
crate::serde_text!(Caveats);

#[cfg(test)]
mod tests {
    use super::{Caveats, Facts, Unmet};

    fn check(caveats: &str, address: &str) -> Result<(), Unmet> {
        let caveats: Caveats = caveats.parse().unwrap();
        let facts = Facts::none();
        caveats.check(&match address {
            "" => facts,
            address => facts.client_address(address.parse().unwrap()),
        })
    }

    #[test]
    fn every_caveat_must_be_met() {
        assert_eq!(check("net=10.0.0.0/8", "10.1.2.3"), Ok(()));
        assert_eq!(check("net=10.0.0.0/8 net=10.1.0.0/16", "10.1.2.3"), Ok(()));
        assert_eq!(
            check("net=10.0.0.0/8 net=10.1.0.0/16", "10.2.2.3"),
            Err(Unmet::ByFacts)
        );
        assert_eq!(check("net=10.0.0.0/8", ""), Err(Unmet::ByFacts));
    }

    #[test]
    fn an_unknown_caveat_is_never_met() {
        for caveats in [
            "moon=full",
            "net=10.0.0.0/8 moon",
            "net=nonsense",
            "cnf=jkt:abc",
            "NET=10.0.0.0/8",
        ] {
            assert_eq!(check(caveats, "10.1.2.3"), Err(Unmet::Unknown), "{caveats}");
        }
    }

    #[test]
    fn a_set_has_one_text() {
        let set = |text: &str| text.parse::<Caveats>().unwrap();
        assert_eq!(set("b=2 a=1 b=2"), set("a=1 b=2"));
        for text in [
            " ", "a=1 ", "a=1  b=2", "a=\"", "a=\\", "a=\u{e9}", "a=1\tb=2",
        ] {
            assert!(text.parse::<Caveats>().is_err(), "{text:?}");
        }
        let long = "a".repeat(Caveats::MAX_CAVEAT_LEN + 1);
        assert!(long.parse::<Caveats>().is_err());
    }

    #[test]
    fn a_superset_has_all_of_the_other() {
        let set = |text: &str| text.parse::<Caveats>().unwrap();
        assert!(set("a=1 b=2").is_superset(&set("b=2")));
        assert!(set("a=1").is_superset(&Caveats::none()));
        assert!(!set("a=1").is_superset(&set("a=1 b=2")));
        assert!(!Caveats::none().is_superset(&set("a=1")));
        assert_eq!(set("a=1").union(&set("b=2")).unwrap(), set("a=1 b=2"));
        let long: Vec<String> = (0..3)
            .map(|it| format!("{it}{}", "a".repeat(999)))
            .collect();
        let long = set(&long.join(" "));
        assert_eq!(long.union(&long).unwrap(), long);
    }
}
