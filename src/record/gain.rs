//! The way in which a record has more than another.

use std::fmt;

/// The field in which a record has more authority than another, or is the record of another key: see
/// [`KeyRecord::gain_over`](super::KeyRecord::gain_over).
///
/// ```
/// use tower_api_key::Gain;
///
/// assert_eq!(Gain::Scopes.as_str(), "scopes");
/// assert!(Gain::Subject.is_another_key());
/// assert!(!Gain::Scopes.is_another_key());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gain {
    /// Another id.
    Id,
    /// Another realm.
    Realm,
    /// Another digest.
    Digest,
    /// Another version of the pepper.
    PepperVersion,
    /// Another subject.
    Subject,
    /// Another lineage.
    Lineage,
    /// Another number of rotations and regrants.
    Generation,
    /// Another time of issue.
    IssuedAt,
    /// Another prefix.
    Prefix,
    /// A revocation is gone.
    Revocation,
    /// A scope more.
    Scopes,
    /// A caveat less.
    Caveats,
    /// An earlier beginning.
    NotBefore,
    /// A later expiry, or none.
    ExpiresAt,
    /// A later end of the grace period, or none.
    GraceEndsAt,
}

impl Gain {
    /// Whether the two records are of different keys: a field differs that is fixed when a key is issued.
    pub const fn is_another_key(self) -> bool {
        match self {
            Self::Id
            | Self::Realm
            | Self::Digest
            | Self::PepperVersion
            | Self::Subject
            | Self::Lineage
            | Self::Generation
            | Self::IssuedAt
            | Self::Prefix => true,
            Self::Revocation
            | Self::Scopes
            | Self::Caveats
            | Self::NotBefore
            | Self::ExpiresAt
            | Self::GraceEndsAt => false,
        }
    }

    /// The name of the field, as in [`KeyRecordParts`](super::KeyRecordParts).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Realm => "realm",
            Self::Digest => "digest",
            Self::PepperVersion => "pepper_version",
            Self::Subject => "subject",
            Self::Lineage => "lineage",
            Self::Generation => "generation",
            Self::IssuedAt => "issued_at",
            Self::Prefix => "prefix",
            Self::Revocation => "revocation",
            Self::Scopes => "scopes",
            Self::Caveats => "caveats",
            Self::NotBefore => "not_before",
            Self::ExpiresAt => "expires_at",
            Self::GraceEndsAt => "grace_ends_at",
        }
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
