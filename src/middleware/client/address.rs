//! The address of the client.

use std::net::IpAddr;

use http::{Extensions, HeaderMap};

use super::peer::Peer;
use super::trusted_proxies::TrustedProxies;

/// How a layer finds the address of a request's client, for the caveat `net`.
///
/// The server puts the address of the connection's peer into the extensions of each request: axum's
/// `ConnectInfo<SocketAddr>`, tonic's `TcpConnectInfo`, or what your own accept loop inserts.
///
/// ```
/// use std::net::SocketAddr;
///
/// use tower_api_key::{
///     ApiKeyLayer, CaveatKind, ClientAddress, KeyRing, TrustedProxies, store::MemoryStore,
/// };
///
/// let ring = KeyRing::builder("acme")
///     .grantable_caveats([CaveatKind::Net])
///     .build(MemoryStore::new())?;
/// let peer = |extensions: &http::Extensions| extensions.get::<SocketAddr>().map(SocketAddr::ip);
///
/// // Clients connect directly.
/// let layer = ApiKeyLayer::new(ring.clone()).client_address(ClientAddress::peer(peer));
///
/// // Clients connect to a proxy that appends the address of its peer to `X-Forwarded-For`.
/// let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/24"])?;
/// let layer = ApiKeyLayer::new(ring).client_address(ClientAddress::peer(peer).behind(proxies));
/// # let _ = layer;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
///
/// If the address is not certain, the request has none, and a key with the caveat is refused.
#[derive(Debug, Clone)]
pub struct ClientAddress {
    peer: Peer,
    proxies: Option<TrustedProxies>,
}

impl ClientAddress {
    /// The peer of the connection, as this function finds it among the extensions of a request.
    pub fn peer(find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self {
            peer: Peer::new(find),
            proxies: None,
        }
    }

    /// If the peer is one of these proxies, the client is the one that they forward for. Any other peer is
    /// the client itself, and its headers count for nothing.
    #[must_use]
    pub fn behind(self, proxies: TrustedProxies) -> Self {
        Self {
            proxies: Some(proxies),
            ..self
        }
    }

    pub(super) fn find(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let peer = self.peer.find(extensions)?;
        match &self.proxies {
            Some(proxies) if proxies.include(peer) => proxies.client(headers),
            _ => Some(peer),
        }
    }
}
