//! Why a key is invalid.

/// Why a key is invalid: for logs and audit, never for the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidCause {
    /// It is not shaped like a key of this ring.
    Malformed,
    /// No record of this realm has its digest.
    Unknown,
    /// The store answered with a record of another realm: it broke its contract. A key of another
    /// realm is [`Unknown`](Self::Unknown).
    OtherRealm,
    /// Its not-before lies ahead.
    NotYetValid,
    /// Its lifetime is over.
    Expired,
    /// A newer key has replaced it, by a rotation whose grace period is over or by a regrant. The
    /// presenter has kept or stolen an old secret (RFC 9700 §4.14.2), which the ring reports as
    /// [`Reuse`](crate::EventKind::Reuse).
    Replaced,
    /// It was revoked.
    Revoked,
    /// The client does not meet one of its caveats, or the fact that the caveat needs is not known.
    CaveatNotMet,
    /// One of its caveats is unknown to this version of the crate.
    UnknownCaveat,
    /// The application refuses its [owner](crate::Owners), who is locked, suspended or gone.
    OwnerRefused,
}

impl InvalidCause {
    /// The cause as a `snake_case` word, for logs and metrics. The words are stable: a change of one
    /// is a breaking change.
    ///
    /// ```
    /// use tower_api_key::InvalidCause;
    ///
    /// assert_eq!(InvalidCause::NotYetValid.as_str(), "not_yet_valid");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::OtherRealm => "other_realm",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::CaveatNotMet => "caveat_not_met",
            Self::UnknownCaveat => "unknown_caveat",
            Self::OwnerRefused => "owner_refused",
        }
    }
}
