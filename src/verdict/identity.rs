//! Which key something is about.

use crate::key::KeyId;

/// Which key something is about, and whether a digest has proven it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Unknown,
    /// A text says so, which anyone can write.
    Claimed(KeyId),
    /// A record has the digest of the presented bytes.
    Proven(KeyId),
}

impl Identity {
    pub(crate) const fn proven(self) -> Option<KeyId> {
        match self {
            Self::Proven(id) => Some(id),
            Self::Unknown | Self::Claimed(_) => None,
        }
    }

    pub(crate) const fn claimed(self) -> Option<KeyId> {
        match self {
            Self::Claimed(id) => Some(id),
            Self::Unknown | Self::Proven(_) => None,
        }
    }
}
