//! Why a request goes no further, before it becomes a response.

use crate::event::{Event, EventKind};
use crate::format::KeyId;
use crate::realm::Realm;
use crate::verified::{VerifiedKey, VerifyError, VerifyErrorKind};

/// What kind of refusal a [`Rejection`](crate::Rejection) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// No credential was presented.
    Missing,
    /// More than one credential was presented, or one that a proxy or a server could read
    /// differently: a repeated header, a twin such as `x_api_key`, a carrier named in `Connection`.
    Ambiguous,
    /// A key-shaped text stands in the URI or in `Referer`.
    KeyInUrl,
    /// The credential is no key that is valid here and now.
    Invalid,
    /// The key is valid, and lacks what the route requires.
    InsufficientScope,
    /// The store gave no verdict.
    StoreUnavailable,
    /// No [`ApiKeyLayer`](crate::ApiKeyLayer) stands outside this guard or extractor: a mistake in
    /// the stack, not of the client. A client without a key is [`Missing`](Self::Missing).
    NotAuthenticated,
}

impl RejectionKind {
    /// The kind as a `snake_case` word, for logs and metrics. The words are stable: a change of one
    /// is a breaking change.
    ///
    /// ```
    /// use tower_api_key::RejectionKind;
    ///
    /// assert_eq!(RejectionKind::InsufficientScope.as_str(), "insufficient_scope");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::KeyInUrl => "key_in_url",
            Self::Invalid => "invalid",
            Self::InsufficientScope => "insufficient_scope",
            Self::StoreUnavailable => "store_unavailable",
            Self::NotAuthenticated => "not_authenticated",
        }
    }
}

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

impl Refusal {
    /// The refusal as an observer is told of it.
    #[cold]
    pub(crate) fn event<'a>(&'a self, realm: &'a Realm) -> Event<'a> {
        let rejected = |kind, cause| EventKind::Rejected { kind, cause };
        match self {
            Self::Missing => {
                Event::without_record(rejected(RejectionKind::Missing, None), Some(realm), None)
            }
            Self::Ambiguous(_) => {
                Event::without_record(rejected(RejectionKind::Ambiguous, None), Some(realm), None)
            }
            Self::KeyInUrl(_, key_id) => Event::without_record(
                rejected(RejectionKind::KeyInUrl, None),
                Some(realm),
                Some(*key_id),
            ),
            Self::Unverified(error) => {
                let kind = match error.kind() {
                    VerifyErrorKind::Invalid(cause) => {
                        rejected(RejectionKind::Invalid, Some(cause))
                    }
                    VerifyErrorKind::StoreUnavailable => {
                        rejected(RejectionKind::StoreUnavailable, None)
                    }
                };
                match error.record() {
                    Some(record) => Event::about(kind, record),
                    None => Event::without_record(kind, Some(realm), error.key_id()),
                }
                .because_of(error.failure().map(|failure| &**failure as _))
            }
            Self::InsufficientScope(key) => Event::about(
                rejected(RejectionKind::InsufficientScope, None),
                key.record(),
            ),
        }
    }
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
