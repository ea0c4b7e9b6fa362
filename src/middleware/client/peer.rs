//! The peer of the connection.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::Extensions;

/// How the address of the connection's peer is found.
#[derive(Clone)]
pub(super) struct Peer(Arc<Find>);

type Find = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

impl Peer {
    pub(super) fn new(
        find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(find))
    }

    pub(super) fn find(&self, extensions: &Extensions) -> Option<IpAddr> {
        (self.0)(extensions).map(|address| address.to_canonical())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}
