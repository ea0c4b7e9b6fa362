//! The kinds of refusals.

/// The kind of a [`Rejection`](crate::Rejection).
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
    /// The key is valid, but lacks a scope that the route requires.
    InsufficientScope,
    /// The key is valid, and the [`RouteTable`](crate::RouteTable) of the layer does not name the route of the
    /// request, or its path is not canonical.
    UnknownRoute,
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
            Self::UnknownRoute => "unknown_route",
            Self::StoreUnavailable => "store_unavailable",
            Self::NotAuthenticated => "not_authenticated",
        }
    }
}
