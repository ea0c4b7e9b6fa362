//! What a key may do, where, and for whom.

pub(crate) mod realm;
pub(crate) mod requirement;
pub(crate) mod scope;
pub(crate) mod text;
