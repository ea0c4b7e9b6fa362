//! What a revocation is about, and what it came to.

use crate::key::KeyId;

/// Which records of a realm a revocation ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// The record of this id.
    Key(KeyId),
    /// Every record of a lineage. The id of any of them names it, and so does the id of the lineage
    /// itself, if its first record is gone.
    Lineage(KeyId),
    /// Every record of a subject.
    Subject(String),
}

/// What a revocation came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Whether the realm has a record that was named, revoked before or now.
    pub found: bool,
    /// The records that this call ended, in the order of their ids.
    pub ended: Vec<Ended>,
}

/// A record that a revocation ended, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ended {
    /// Its id; `None` if what the store holds in its place is not one.
    pub id: Option<KeyId>,
    /// Its subject; `None` if what the store holds in its place is no text.
    pub subject: Option<String>,
}
