//! Keys as texts: how they are minted, recognised, hidden and digested.

mod base62;
pub(crate) mod digest;
pub(crate) mod digester;
pub(crate) mod foreign;
pub(crate) mod format;
pub(crate) mod id;
pub(crate) mod pepper;
pub(crate) mod prefix;
pub(crate) mod secret;
pub(crate) mod shape;

pub(crate) use id::IdText;
pub use id::KeyId;
pub use prefix::KeyPrefix;
