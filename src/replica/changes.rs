//! What has changed.

use super::Batch;

/// The answer to a question for changes.
#[derive(Debug, Clone)]
pub enum Changes {
    /// A page of what differs.
    Since(Batch),
    /// It is another history, or one whose changes since then are not all known. The reader begins anew.
    Lost,
}
