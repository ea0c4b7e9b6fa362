//! Realms, scopes and requirements, and texts that are safe to show.

pub(crate) mod realm;
pub(crate) mod requirement;
pub(crate) mod scope;
pub(crate) mod text;
