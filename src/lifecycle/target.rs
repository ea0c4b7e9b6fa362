//! The target of a revocation.

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
