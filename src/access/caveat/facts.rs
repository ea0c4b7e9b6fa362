//! What is known of a request's client.

use std::net::IpAddr;

use super::CertificateThumbprint;

/// Facts about the client of a request, by which the [caveats](crate::Caveats) of a key are judged.
///
/// None of them may be up to the client: an address is that of the connection, or one that a proxy that you
/// run has written. An [`ApiKeyLayer`](crate::ApiKeyLayer) collects them by its
/// [`client_address`](crate::ApiKeyLayer::client_address) and
/// [`client_certificate`](crate::ApiKeyLayer::client_certificate). Other callers of a ring pass them to
/// [`verify_with`](crate::KeyRing::verify_with).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    address: Option<IpAddr>,
    certificate: Option<CertificateThumbprint>,
}

impl Facts {
    /// Nothing is known. A key with a caveat is then refused.
    pub const fn none() -> Self {
        Self {
            address: None,
            certificate: None,
        }
    }

    /// The client has this address. An IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn client_address(self, address: IpAddr) -> Self {
        Self {
            address: Some(address.to_canonical()),
            ..self
        }
    }

    /// The client has proven, in the TLS handshake, that the certificate with this thumbprint is its own.
    #[must_use]
    pub const fn client_certificate(self, thumbprint: CertificateThumbprint) -> Self {
        Self {
            certificate: Some(thumbprint),
            ..self
        }
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub(super) fn certificate(&self) -> Option<&CertificateThumbprint> {
        self.certificate.as_ref()
    }
}
