//! What happened.

use std::collections::BTreeMap;
use std::fmt;

/// What happened to a key, or to the history itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HistoryKind {
    /// A key came into the store: it was issued, imported, or put in the place of another of its lineage.
    Added,
    /// A key lost scopes, got further caveats, or ends earlier.
    Narrowed,
    /// The grace period of a key began, because another was put in its place.
    Replaced,
    /// The label or the metadata of a key changed.
    Described,
    /// A key was revoked.
    Revoked,
    /// A key expires soon: its notice for a step of a ring's
    /// [`expiry_notices`](crate::KeyRingBuilder::expiry_notices) was [claimed](crate::KeyRing::upkeep). The key did not
    /// change. [`HistoryEntry::expiry_notice`](super::HistoryEntry::expiry_notice) has the step.
    ExpiryNoticed,
    /// A key changed in another way, which no operation of a ring does.
    Changed,
    /// The record of a key was removed, by a purge or by hand.
    Removed,
    /// All records of the realm were removed at once, by a `TRUNCATE`.
    Emptied,
    /// A backup was put in the place of the store. Keys may have gained what the backup had.
    Restored,
    /// Entries from before a time were removed from the history, because
    /// [that was asked for](crate::KeyRing::forget_history).
    Forgotten,
}

impl HistoryKind {
    /// The kind as a `snake_case` word, for logs and JSON.
    ///
    /// ```
    /// use tower_api_key::store::HistoryKind;
    ///
    /// assert_eq!(HistoryKind::Revoked.as_str(), "revoked");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Narrowed => "narrowed",
            Self::Replaced => "replaced",
            Self::Described => "described",
            Self::Revoked => "revoked",
            Self::ExpiryNoticed => "expiry_noticed",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Emptied => "emptied",
            Self::Restored => "restored",
            Self::Forgotten => "forgotten",
        }
    }

    /// The kind of a change of a record, by the fields that it has afterwards.
    pub(super) fn of_change(after: &BTreeMap<String, String>) -> Self {
        let has = |field| after.contains_key(field);
        let only = |fields: &[&str]| after.keys().all(|field| fields.contains(&field.as_str()));
        if has("revoked_at") {
            Self::Revoked
        } else if only(&["version", "label", "metadata"]) && (has("label") || has("metadata")) {
            Self::Described
        } else if has("grace_ends_at") && only(&["version", "grace_ends_at"]) {
            Self::Replaced
        } else if only(&[
            "version",
            "scopes",
            "caveats",
            "expires_at",
            "grace_ends_at",
        ]) && (has("scopes") || has("caveats") || has("expires_at"))
        {
            Self::Narrowed
        } else {
            Self::Changed
        }
    }
}

impl fmt::Display for HistoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
