//! Restrictions that only narrow a key.

#[expect(
    clippy::module_inception,
    reason = "`Caveat` is in the file of its name"
)]
mod caveat;
mod caveats;
mod certificate_thumbprint;
mod facts;
mod kind;
mod networks;

pub use caveat::Caveat;
pub use caveats::Caveats;
pub(crate) use caveats::Unmet;
pub use certificate_thumbprint::CertificateThumbprint;
pub use facts::Facts;
pub use kind::CaveatKind;
pub use networks::Networks;
