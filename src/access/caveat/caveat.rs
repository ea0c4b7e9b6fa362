//! One caveat that this version knows.

use std::fmt;
use std::str::FromStr;

use super::{CaveatKind, CertificateThumbprint, Facts, Networks};
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Caveat {
    /// `net`: networks in which the client is.
    Net(Networks),
    /// `cnf`: the certificate of the client.
    Confirmation(CertificateThumbprint),
}

/// The longest caveat, in bytes.
pub(super) const MAX_LEN: usize = 1_024;

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
    pub(super) fn known(text: &str) -> Option<Self> {
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

    pub(super) fn is_met_by(&self, facts: &Facts) -> bool {
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
        if !is_caveat(&caveat.to_string()) {
            return Err(ErrorKind::InvalidCaveat.into());
        }
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

/// Whether a text has the form of a caveat, of whatever version.
pub(super) fn is_caveat(text: &str) -> bool {
    (1..=MAX_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

crate::parsed_text!(Caveat);

#[cfg(test)]
mod tests {
    use super::{Caveat, MAX_LEN};

    #[test]
    fn a_caveat_has_at_most_1024_bytes() {
        let networks = |count: u8| {
            let networks: Vec<_> = (100..100 + count)
                .map(|it| format!("10.0.{it}.1"))
                .collect();
            format!("net={}", networks.join(","))
        };
        // Each is kept as `10.0.100.1/32`, and a comma follows all but the last.
        let longest: Caveat = networks(72).parse().unwrap();
        assert_eq!(longest.to_string().len(), 1_011);
        let error = networks(73).parse::<Caveat>().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidCaveat);
        assert!(networks(73).len() < MAX_LEN);
    }
}
