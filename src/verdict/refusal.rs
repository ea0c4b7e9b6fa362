//! Why a request goes no further, before it becomes a response.

use std::sync::Arc;

use super::{Identity, InvalidCause, KeyPlace, VerifiedKey, VerifyError, VerifyErrorKind};
use crate::error::store::StoreError;
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

    /// Which key it is about.
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Missing | Self::Ambiguous(_) => Identity::Unknown,
            Self::Misplaced(_, key_id) => Identity::Claimed(*key_id),
            Self::Unverified(error) => error.identity(),
            Self::InsufficientScope(key) | Self::UnknownRoute(key) => Identity::Proven(key.id()),
        }
    }

    /// Why the key is invalid, if it is.
    pub(crate) fn cause(&self) -> Option<InvalidCause> {
        match self.error()?.kind() {
            VerifyErrorKind::Invalid(cause) => Some(cause),
            VerifyErrorKind::StoreUnavailable => None,
        }
    }

    /// The store's error, if it gave no verdict.
    pub(crate) fn failure(&self) -> Option<&Arc<StoreError>> {
        self.error()?.failure()
    }

    fn error(&self) -> Option<&VerifyError> {
        match self {
            Self::Unverified(error) => Some(error),
            Self::Missing
            | Self::Ambiguous(_)
            | Self::Misplaced(..)
            | Self::InsufficientScope(_)
            | Self::UnknownRoute(_) => None,
        }
    }
}

/// Why a valid key goes no further. The key is not within it, so that one that goes further is not moved.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Denial {
    InsufficientScope,
    UnknownRoute,
}

impl Denial {
    #[cold]
    pub(crate) fn of(self, key: VerifiedKey) -> Refusal {
        match self {
            Self::InsufficientScope => Refusal::InsufficientScope(key),
            Self::UnknownRoute => Refusal::UnknownRoute(key),
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
