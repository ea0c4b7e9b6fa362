//! Helpers that several modules share.

pub(crate) mod apart;
pub(crate) mod caught;
pub(crate) mod hex;
pub(crate) mod kept;
pub(crate) mod mixing;
pub(crate) mod oneshot;
#[cfg(feature = "replica")]
pub(crate) mod process;
#[cfg(feature = "serde")]
pub(crate) mod serde_text;
pub(crate) mod span;
pub(crate) mod sync;
