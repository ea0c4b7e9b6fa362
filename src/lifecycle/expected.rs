//! The state of a place before a write.

/// The state that a store must find under a record's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the record is new, and its digest is in no other record.
    Absent,
    /// The same record at exactly this version, with the same digest, realm, subject and lineage.
    Version(u64),
}
