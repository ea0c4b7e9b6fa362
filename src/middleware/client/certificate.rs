//! The certificate of the client.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Extensions, HeaderMap};

use super::peer::Peer;
use super::texts::texts;
use crate::access::caveat::{CertificateThumbprint, Networks};
use crate::error::Error;

const CLIENT_CERT: &str = "client-cert";

/// How a layer finds the certificate that a client has shown in the TLS handshake, for the caveat `cnf`.
///
/// ```
/// use std::net::SocketAddr;
///
/// use tower_api_key::{
///     ApiKeyLayer, CaveatKind, CertificateThumbprint, ClientCertificate, KeyRing, store::MemoryStore,
/// };
///
/// /// The client's certificate in DER, which the accept loop takes from the TLS session.
/// #[derive(Clone)]
/// struct PeerCertificate(Vec<u8>);
///
/// let ring = KeyRing::builder("acme")
///     .grantable_caveats([CaveatKind::Confirmation])
///     .build(MemoryStore::new())?;
///
/// // The service ends TLS itself.
/// let layer = ApiKeyLayer::new(ring.clone()).client_certificate(ClientCertificate::extension(
///     |extensions| {
///         let certificate = extensions.get::<PeerCertificate>()?;
///         Some(CertificateThumbprint::of_der(&certificate.0))
///     },
/// ));
///
/// // A proxy ends TLS, and hands the certificate on in `Client-Cert` (RFC 9440).
/// let peer = |extensions: &http::Extensions| extensions.get::<SocketAddr>().map(SocketAddr::ip);
/// let layer = ApiKeyLayer::new(ring)
///     .client_certificate(ClientCertificate::from_proxy(peer, ["10.0.0.0/24"])?);
/// # let _ = layer;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone)]
pub struct ClientCertificate(Source);

type Find = dyn Fn(&Extensions) -> Option<CertificateThumbprint> + Send + Sync;

#[derive(Clone)]
enum Source {
    Extension(Arc<Find>),
    Proxy { peer: Peer, proxies: Networks },
}

impl ClientCertificate {
    /// The certificate of the connection's TLS session, as this function finds it among the extensions of a
    /// request. The session must have been one in which the client has proven that it holds the private
    /// key, as every handshake with a client's certificate does (RFC 8446 §4.4.3).
    pub fn extension(
        find: impl Fn(&Extensions) -> Option<CertificateThumbprint> + Send + Sync + 'static,
    ) -> Self {
        Self(Source::Extension(Arc::new(find)))
    }

    /// The certificate in the header `Client-Cert` (RFC 9440 §2.2) of a request whose peer is one of these
    /// proxies. A proxy must remove the header from what clients send (RFC 9440 §4). From any other peer,
    /// the header counts for nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`](crate::ErrorKind::InvalidCaveat) if the proxies are not
    /// [networks](Networks).
    pub fn from_proxy<I>(
        peer: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static,
        proxies: I,
    ) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(Self(Source::Proxy {
            peer: Peer::new(peer),
            proxies: Networks::new(proxies)?,
        }))
    }

    pub(super) fn find(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Option<CertificateThumbprint> {
        match &self.0 {
            Source::Extension(find) => find(extensions),
            Source::Proxy { peer, proxies } => {
                if !proxies.contains(peer.find(extensions)?) {
                    return None;
                }
                let values = texts(headers, CLIENT_CERT)?;
                let [value] = values[..] else {
                    return None;
                };
                // A byte sequence of RFC 8941 §3.3.5, without parameters.
                let encoded = value.strip_prefix(':')?.strip_suffix(':')?;
                let der = STANDARD
                    .decode(encoded)
                    .ok()
                    .filter(|der| !der.is_empty())?;
                Some(CertificateThumbprint::of_der(&der))
            }
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Extension(_) => f.write_str("ClientCertificate(extension)"),
            Source::Proxy { proxies, .. } => {
                write!(f, "ClientCertificate({CLIENT_CERT} from {proxies})")
            }
        }
    }
}
