//! Keys as texts: how they are minted, recognised, hidden and digested.

pub(crate) mod digest;
pub(crate) mod format;
pub(crate) mod secret;
pub(crate) mod shape;
