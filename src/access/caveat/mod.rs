//! Restrictions that only narrow a key.

mod facts;
mod networks;
mod thumbprint;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use facts::Facts;
pub use networks::Networks;
pub use thumbprint::CertificateThumbprint;

use crate::error::{Error, ErrorKind};

/// One restriction of a key, which this version knows and enforces.
///
/// A caveat (the word is that of macaroons) can be added to a key and never removed. A request meets it by
/// [`Facts`] that the client does not choose.
///
/// | text | a request meets it if |
/// |---|---|
/// | `net=10.0.0.0/8,2001:db8::/32` | the address of the client is in one of the networks |
/// | `cnf=x5t#S256:…` | the client has shown, in the TLS handshake, the certificate with this SHA-256 thumbprint (RFC 7800 §3.1, RFC 8705 §3.1) |
///
/// ```
/// use tower_api_key::Caveat;
///
/// let caveat: Caveat = "net=192.168.0.0/16,10.1.2.3".parse()?;
/// assert_eq!(caveat.to_string(), "net=10.1.2.3/32,192.168.0.0/16");
/// assert!("net=10.1.2.3/8".parse::<Caveat>().is_err());
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caveat {
    /// `net`: networks in which the client is.
    Net(Networks),
    /// `cnf`: the certificate of the client.
    Confirmation(CertificateThumbprint),
}

/// The name of a [`Caveat`], and so the fact that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CaveatKind {
    /// `net`, which needs the client's address.
    Net,
    /// `cnf`, which needs the thumbprint of the client's certificate.
    Confirmation,
}

impl CaveatKind {
    /// The kinds that this version knows.
    pub const ALL: [Self; 2] = [Self::Net, Self::Confirmation];

    /// The name, as it stands before the `=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Confirmation => "cnf",
        }
    }
}

impl fmt::Display for CaveatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The one confirmation method of `cnf`: the SHA-256 thumbprint of an X.509 certificate.
const THUMBPRINT: &str = "x5t#S256:";

impl Caveat {
    /// Its kind.
    pub fn kind(&self) -> CaveatKind {
        match self {
            Self::Net(_) => CaveatKind::Net,
            Self::Confirmation(_) => CaveatKind::Confirmation,
        }
    }

    /// The caveat of a text, or `None` if this version does not know it, or not with this value.
    fn known(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        let kinds = CaveatKind::ALL.into_iter();
        match kinds.into_iter().find(|kind| kind.as_str() == name)? {
            CaveatKind::Net => Some(Self::Net(value.parse().ok()?)),
            CaveatKind::Confirmation => {
                let value = value.strip_prefix(THUMBPRINT)?;
                Some(Self::Confirmation(value.parse().ok()?))
            }
        }
    }

    fn is_met_by(&self, facts: &Facts) -> bool {
        match self {
            Self::Net(networks) => facts
                .address()
                .is_some_and(|address| networks.contains(address)),
            Self::Confirmation(thumbprint) => facts.certificate() == Some(thumbprint),
        }
    }
}

impl FromStr for Caveat {
    type Err = Error;

    /// Parses a caveat that this version knows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let caveat = Self::known(text).ok_or(ErrorKind::InvalidCaveat)?;
        // As it would be kept.
        Caveats::from_str(&caveat.to_string())?;
        Ok(caveat)
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind();
        match self {
            Self::Net(networks) => write!(f, "{name}={networks}"),
            Self::Confirmation(thumbprint) => write!(f, "{name}={THUMBPRINT}{thumbprint}"),
        }
    }
}

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
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Caveats(Option<Arc<Set>>);

#[derive(PartialEq, Eq)]
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
    pub const MAX_CAVEAT_LEN: usize = 1_024;

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
        if text.len() > Self::MAX_LEN || !caveats.iter().copied().all(is_caveat) {
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

/// Whether a text has the form of a caveat, of whatever version.
fn is_caveat(text: &str) -> bool {
    (1..=Caveats::MAX_CAVEAT_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
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
