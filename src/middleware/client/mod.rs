//! Facts about a request's client, for the caveats of its key.

mod address;
mod certificate;
mod peer;
mod texts;
mod trusted_proxies;

pub use address::ClientAddress;
pub use certificate::ClientCertificate;
pub use trusted_proxies::TrustedProxies;

use crate::access::caveat::{CaveatKind, Facts};
use crate::middleware::head::RequestHead;

/// The sources of facts that a layer has.
#[derive(Debug, Clone, Default)]
pub(crate) struct FactSources {
    pub(crate) address: Option<ClientAddress>,
    pub(crate) certificate: Option<ClientCertificate>,
}

impl FactSources {
    /// Whether they can give the fact that a caveat of this kind needs.
    pub(crate) fn cover(&self, kind: CaveatKind) -> bool {
        match kind {
            CaveatKind::Net => self.address.is_some(),
            CaveatKind::Confirmation => self.certificate.is_some(),
        }
    }

    /// The facts of a request. A fact that is not certain is missing.
    #[cold]
    pub(crate) fn of(&self, request: &impl RequestHead) -> Facts {
        let (headers, extensions) = (request.headers(), request.extensions());
        let mut facts = Facts::none();
        if let Some(address) = &self.address
            && let Some(address) = address.find(headers, extensions)
        {
            facts = facts.client_address(address);
        }
        if let Some(certificate) = &self.certificate
            && let Some(thumbprint) = certificate.find(headers, extensions)
        {
            facts = facts.client_certificate(thumbprint);
        }
        facts
    }
}
