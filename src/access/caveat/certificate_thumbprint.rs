//! Thumbprints of certificates.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};

/// The SHA-256 of a certificate in DER, as RFC 8705 §3.1 has it for the confirmation method `x5t#S256`.
///
/// The text is base64url without padding (RFC 7515 §2): 43 characters.
///
/// ```
/// use tower_api_key::CertificateThumbprint;
///
/// let thumbprint = CertificateThumbprint::of_der(b"the certificate's DER");
/// assert_eq!(thumbprint.to_string().parse::<CertificateThumbprint>()?, thumbprint);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateThumbprint([u8; 32]);

impl CertificateThumbprint {
    /// The thumbprint of a certificate in DER.
    pub fn of_der(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// The thumbprint of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for CertificateThumbprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(ErrorKind::InvalidCaveat.into())
    }
}

impl fmt::Display for CertificateThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for CertificateThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateThumbprint({self})")
    }
}

crate::parsed_text!(CertificateThumbprint);

#[cfg(test)]
mod tests {
    use super::CertificateThumbprint;

    /// As RFC 8705, appendix A, writes one.
    const EXAMPLE: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

    #[test]
    fn the_text_has_one_form() {
        let thumbprint: CertificateThumbprint = EXAMPLE.parse().unwrap();
        assert_eq!(thumbprint.to_string(), EXAMPLE);
        for text in [
            "",
            &EXAMPLE[1..],
            &format!("{EXAMPLE}="),
            &format!("{EXAMPLE}A"),
            // The last two bits are not zero.
            &format!("{}1", &EXAMPLE[..42]),
            &EXAMPLE.replace('A', "+"),
        ] {
            assert!(text.parse::<CertificateThumbprint>().is_err(), "{text:?}");
        }
    }
}
