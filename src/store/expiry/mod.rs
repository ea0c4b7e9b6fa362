//! Notices of the keys that expire soon: the ladder of their steps, and the claims of a store.

mod expiry_claims;
mod expiry_ladder;
mod expiry_notice;

pub use expiry_claims::ExpiryClaims;
pub use expiry_ladder::ExpiryLadder;
pub use expiry_notice::ExpiryNotice;
