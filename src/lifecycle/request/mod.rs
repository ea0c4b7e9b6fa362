//! Requests for keys that were minted elsewhere.

mod import;
mod imported;
mod old_key;

pub use import::Import;
pub use imported::Imported;
pub use old_key::OldKey;
pub(crate) use old_key::OldKeyKind;
