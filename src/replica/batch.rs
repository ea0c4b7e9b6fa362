//! A page of changes.

use std::sync::Arc;

use super::{Head, Sums};
use crate::key::digest::KeyDigest;
use crate::record::KeyRecord;

/// A page of changes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Batch {
    /// Where the history was when the page was read.
    pub head: Head,
    /// Records that changed, as they are now.
    pub records: Vec<Arc<KeyRecord>>,
    /// Digests that have no record any more, or none that can be read.
    pub gone: Vec<KeyDigest>,
    /// After which digest the next page begins. `None`: this page is the last.
    pub next: Option<KeyDigest>,
    /// The checksums that were asked for, of the state that this page belongs to. Those of all other buckets are of no
    /// record.
    pub sums: Option<Sums>,
}

impl Batch {
    /// A page without a change, which is the last.
    pub fn new(head: Head) -> Self {
        Self {
            head,
            records: Vec::new(),
            gone: Vec::new(),
            next: None,
            sums: None,
        }
    }
}
