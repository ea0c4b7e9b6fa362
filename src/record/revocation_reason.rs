//! The reasons of a revocation.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Why a key was revoked, in the words of RFC 5280 §5.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RevocationReason {
    /// No reason was given.
    Unspecified,
    /// The secret is known, or thought to be known, to someone else.
    KeyCompromise,
    /// The subject's affiliation has changed.
    AffiliationChanged,
    /// A newer key has replaced it: the word of RFC 5280 §5.3.1. After its grace period, if it had one,
    /// the key is known as [replaced](super::KeyRecord::is_replaced_at).
    Superseded,
    /// The key is no longer needed.
    CessationOfOperation,
    /// The subject lost the privilege.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Every reason that this version knows.
    pub const ALL: &'static [Self] = &[
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The reason as a `snake_case` word, for a store to keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key_compromise",
            Self::AffiliationChanged => "affiliation_changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation_of_operation",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RevocationReason {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| ErrorKind::InvalidReason.into())
    }
}

crate::shown_text!(RevocationReason);
crate::parsed_text!(RevocationReason);
