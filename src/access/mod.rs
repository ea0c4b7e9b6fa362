//! Realms, scopes, requirements and caveats, and texts that are safe to show.

pub(crate) mod caveat;
mod mark;
pub(crate) mod realm;
pub(crate) mod requirement;
pub(crate) mod scope;
pub(crate) mod scope_set;
pub(crate) mod text;
