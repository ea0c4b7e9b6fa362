//! The target of a revocation, and its result.

use crate::key::KeyId;

/// Which records of a realm a revocation ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The record of this id.
    Key(KeyId),
    /// Every record of a lineage. The id of any of them names it, and so does the id of the lineage
    /// itself, if its first record is gone.
    Lineage(KeyId),
    /// Every record of a subject.
    Subject(String),
}

/// The result of a revocation.
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
    /// Its id; `None` if the value in the store is not one.
    pub id: Option<KeyId>,
    /// Its subject; `None` if the value in the store is no text.
    pub subject: Option<String>,
}
