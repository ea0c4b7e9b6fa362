//! Why a request goes no further, before it becomes a response.

use crate::access::realm::Realm;
use crate::key::format::KeyId;
use crate::observe::event::{Event, EventKind};
use crate::verdict::verified::{VerifiedKey, VerifyError, VerifyErrorKind};

/// What kind of refusal a [`Rejection`](crate::Rejection) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// No credential was presented.
    Missing,
    /// More than one credential was presented, or one that a proxy or a server could read
    /// differently: a repeated header, a twin such as `x_api_key`, a carrier named in `Connection`.
    Ambiguous,
    /// A key of the ring stands in the URI or in a header that holds a URL.
    KeyInUrl,
    /// A key of the ring stands in a header that the layer does not read, or in `Authorization`
    /// under a scheme that it does not accept.
    KeyMisplaced,
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
            Self::KeyMisplaced => "key_misplaced",
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
    Misplaced(KeyPlace, KeyId),
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

/// Where a key of the ring stood that does not belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyPlace {
    /// The target of the request: path, query or authority. With the feature `axum` also the part
    /// of the path that `Router::nest` strips.
    Uri,
    /// `Referer`. The request is refused only if the key is the one that it presents, because
    /// anyone can make a link.
    Referer,
    /// A header in which a proxy hands on a URL: `Forwarded`, `X-Original-URI`,
    /// `X-Original-URL`, `X-Forwarded-Uri`, and the like.
    ForwardedUrl,
    /// `Authorization`, under a scheme that the layer does not accept, or without one.
    Authorization,
    /// Any other header. Only an [optional](crate::ApiKeyLayer::optional) layer looks there, and
    /// only if the request presents no credential.
    OtherHeader,
}

/// Which key something is about, and whether a digest has proven it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Unknown,
    /// A text says so, which anyone can write.
    Claimed(KeyId),
    /// A record has the digest of what was presented.
    Proven(KeyId),
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
            Self::Misplaced(place, key_id) => {
                let kind = rejected(place.rejection(), None);
                Event::misplaced(kind, realm, *place, *key_id)
            }
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
                    None => Event::without_record(kind, Some(realm), error.claimed_key_id()),
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

impl KeyPlace {
    pub(crate) const ALL: [Self; 5] = [
        Self::Uri,
        Self::Referer,
        Self::ForwardedUrl,
        Self::Authorization,
        Self::OtherHeader,
    ];

    /// The place as a `snake_case` word, for logs and metrics. The words are stable: a change of
    /// one is a breaking change.
    ///
    /// ```
    /// use tower_api_key::KeyPlace;
    ///
    /// assert_eq!(KeyPlace::ForwardedUrl.as_str(), "forwarded_url");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Referer => "referer",
            Self::ForwardedUrl => "forwarded_url",
            Self::Authorization => "authorization",
            Self::OtherHeader => "other_header",
        }
    }

    pub(crate) const fn rejection(self) -> RejectionKind {
        match self {
            Self::Uri | Self::Referer | Self::ForwardedUrl => RejectionKind::KeyInUrl,
            Self::Authorization | Self::OtherHeader => RejectionKind::KeyMisplaced,
        }
    }

    pub(crate) const fn event(self) -> EventKind {
        match self {
            Self::Uri | Self::Referer | Self::ForwardedUrl => EventKind::KeyInUrl,
            Self::Authorization | Self::OtherHeader => EventKind::KeyMisplaced,
        }
    }

    /// What the client is told; `carriers` says where keys belong.
    pub(crate) fn detail(self, carriers: &str) -> String {
        match self {
            Self::Uri => "API key in URL: send it in a header, and replace this key".to_owned(),
            Self::Referer => {
                "API key in Referer: send it in a header, and replace this key".to_owned()
            }
            Self::ForwardedUrl => {
                format!("API key in a forwarded URL: send it in {carriers}, and replace this key")
            }
            Self::Authorization => format!("API key in Authorization: send it in {carriers}"),
            Self::OtherHeader => format!("API key in another header: send it in {carriers}"),
        }
    }
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
