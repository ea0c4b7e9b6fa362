//! What a report finds.

use std::fmt;

use crate::access::client_network::ClientNetwork;
use crate::access::scope_set::ScopeSet;
use crate::key::KeyId;
use crate::time::Timestamp;

/// Why a key needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// No use of the key is known, although it is valid for [long enough](super::ReportQuery::never_used_for).
    NeverUsed {
        /// When the key became valid, or was issued if that was later.
        since: Timestamp,
    },
    /// The last use of the key is [too long](super::ReportQuery::unused_for) ago.
    Unused {
        /// The last use.
        last_used: Timestamp,
    },
    /// The key never expires.
    NoExpiry,
    /// The key will end [soon](super::ReportQuery::expiring_within), and no rotation has replaced it.
    Expiring {
        /// The first moment at which the key is no longer valid.
        at: Timestamp,
    },
    /// A rotation has replaced the key, and it was used since. Its holder does not have the new key yet, and is refused
    /// when the grace period ends.
    UsedAfterReplacement {
        /// The last use.
        last_used: Timestamp,
        /// The key that took its place. `None` if no later key of the lineage is in the store.
        replaced_by: Option<KeyId>,
    },
    /// The key has scopes that no request needed for [long enough](super::ReportQuery::never_exercised_for), at rings that
    /// [track](crate::KeyRingBuilder::track_scope_use) that.
    ScopesNeverExercised {
        /// These scopes, at least one. If they are all of the key, no request needed any.
        scopes: ScopeSet,
        /// The first use that was tracked.
        since: Timestamp,
    },
    /// The key was used from a network for the first time, [not long](super::ReportQuery::new_network_within) ago, and was
    /// used from others before. It is known from rings that [track](crate::KeyRingBuilder::track_networks) networks.
    NewNetwork {
        /// The network.
        network: ClientNetwork,
        /// The first use from there, as of the last upkeep.
        first_used: Timestamp,
    },
}

impl Finding {
    /// The kind of the finding.
    pub const fn kind(&self) -> FindingKind {
        match self {
            Self::NeverUsed { .. } => FindingKind::NeverUsed,
            Self::Unused { .. } => FindingKind::Unused,
            Self::NoExpiry => FindingKind::NoExpiry,
            Self::Expiring { .. } => FindingKind::Expiring,
            Self::UsedAfterReplacement { .. } => FindingKind::UsedAfterReplacement,
            Self::ScopesNeverExercised { .. } => FindingKind::ScopesNeverExercised,
            Self::NewNetwork { .. } => FindingKind::NewNetwork,
        }
    }
}

/// The kind of a [`Finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// [`Finding::NeverUsed`].
    NeverUsed,
    /// [`Finding::Unused`].
    Unused,
    /// [`Finding::NoExpiry`].
    NoExpiry,
    /// [`Finding::Expiring`].
    Expiring,
    /// [`Finding::UsedAfterReplacement`].
    UsedAfterReplacement,
    /// [`Finding::ScopesNeverExercised`].
    ScopesNeverExercised,
    /// [`Finding::NewNetwork`].
    NewNetwork,
}

impl FindingKind {
    /// The kind as a `snake_case` word, for logs and JSON. The words are stable: a change of one is a breaking change.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverUsed => "never_used",
            Self::Unused => "unused",
            Self::NoExpiry => "no_expiry",
            Self::Expiring => "expiring",
            Self::UsedAfterReplacement => "used_after_replacement",
            Self::ScopesNeverExercised => "scopes_never_exercised",
            Self::NewNetwork => "new_network",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

crate::shown_text!(FindingKind);
