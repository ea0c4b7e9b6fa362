//! Why a request goes no further, before it becomes a response.

use crate::format::KeyId;
use crate::verified::{VerifiedKey, VerifyError};

/// A refusal before it becomes a response.
#[derive(Debug)]
pub(crate) enum Refusal {
    Missing,
    Ambiguous(Ambiguity),
    KeyInUrl(Leak, KeyId),
    Unverified(VerifyError),
    InsufficientScope(VerifiedKey),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Ambiguity {
    RepeatedHeader,
    SeveralCarriers,
    UnderscoreTwin,
    NamedInConnection,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Leak {
    Uri,
    Referer,
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

impl Leak {
    pub(crate) const ALL: [Self; 2] = [Self::Uri, Self::Referer];

    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Uri => "API key in URL: send it in a header, and replace this key",
            Self::Referer => "API key in Referer: send it in a header, and replace this key",
        }
    }
}
