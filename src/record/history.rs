//! What few keys have, apart from the rest of a record.

use super::Revocation;
use crate::access::caveat::Caveats;
use crate::access::metadata::Metadata;
use crate::key::IdText;
use crate::time::Timestamp;

/// What happened to a key, and what restricts or describes it. Most keys of a store are as they were issued,
/// and need no place for it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct History {
    pub(super) caveats: Caveats,
    pub(super) lineage: IdText,
    pub(super) generation: u32,
    pub(super) version: u64,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) grace_ends_at: Option<Timestamp>,
    pub(super) revocation: Option<Revocation>,
    pub(super) metadata: Metadata,
}

impl History {
    /// That of the first key of a lineage, which was valid at once and has not changed.
    pub(super) fn none(id: IdText, not_before: Timestamp, valid_until: Timestamp) -> Self {
        Self {
            caveats: Caveats::none(),
            lineage: id,
            generation: 0,
            version: 1,
            issued_at: not_before,
            expires_at: Some(valid_until).filter(|&end| end != Timestamp::MAX),
            grace_ends_at: None,
            revocation: None,
            metadata: Metadata::none(),
        }
    }
}
