//! Why a request goes no further, before it becomes a response.

use super::{KeyPlace, VerifiedKey, VerifyError};
use crate::key::KeyId;

/// A refusal before it becomes a response.
#[derive(Debug)]
pub(crate) enum Refusal {
    Missing,
    Ambiguous(Ambiguity),
    Misplaced(KeyPlace, KeyId),
    Unverified(VerifyError),
    InsufficientScope(VerifiedKey),
    UnknownRoute(VerifiedKey),
}

impl Refusal {
    /// The key of the request, if it is valid.
    pub(crate) fn valid_key(&self) -> Option<&VerifiedKey> {
        match self {
            Self::InsufficientScope(key) | Self::UnknownRoute(key) => Some(key),
            Self::Missing | Self::Ambiguous(_) | Self::Misplaced(..) | Self::Unverified(_) => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Ambiguity {
    RepeatedHeader,
    SeveralCarriers,
    UnderscoreTwin,
    NamedInConnection,
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        Self::Unverified(error)
    }
}

impl Ambiguity {
    pub(crate) const ALL: [Self; 4] = [
        Self::RepeatedHeader,
        Self::SeveralCarriers,
        Self::UnderscoreTwin,
        Self::NamedInConnection,
    ];

    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::RepeatedHeader => "Ambiguous API key: the header is repeated",
            Self::SeveralCarriers => "Ambiguous API key: several headers carry one",
            Self::UnderscoreTwin => {
                "Ambiguous API key: a header differs from the expected one only in _ and -"
            }
            Self::NamedInConnection => "Ambiguous API key: Connection names the header",
        }
    }
}
