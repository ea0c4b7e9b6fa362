//! Realms, scopes, requirements and caveats, subjects, actors, labels and metadata, and texts that are safe to show.

pub(crate) mod actor;
pub(crate) mod caveat;
pub(crate) mod client_network;
pub(crate) mod escaped;
pub(crate) mod label;
mod mark;
pub(crate) mod metadata;
pub(crate) mod realm;
pub(crate) mod requirement;
pub(crate) mod scope;
pub(crate) mod scope_set;
mod scope_table;
pub(crate) mod subject;
pub(crate) mod text;
