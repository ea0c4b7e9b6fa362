//! The kinds of requests that a matrix sends.

use std::fmt;

/// A kind of request that a [`Matrix`](super::Matrix) sends to each route, or a mistake that it recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Row {
    /// A key with the scopes of the route. It passes.
    RightKey,
    /// No key. It passes at a public route alone.
    NoKey,
    /// The same key twice, and in two places if keys may be in two.
    TwoKeys,
    /// A key of which one character is another.
    MalformedKey,
    /// A text in the form of a key that no store knows.
    UnknownKey,
    /// A key that has expired.
    ExpiredKey,
    /// A key that was revoked.
    RevokedKey,
    /// Keys without any scope, with one of those that the route mentions, and with all but one. Each passes
    /// if it meets the requirement.
    MissingScope,
    /// A valid key in the query of the URL, by itself and together with the same key in its place.
    KeyInUrl,
    /// `HEAD`, if the table names no route for it, without a key and with one that has no scope.
    Head,
    /// `OPTIONS`, in the same way.
    Options,
    /// The other methods that the table does not name for a pattern, in the same way.
    OtherMethod,
    /// The right key with a header that names another method, such as `X-HTTP-Method-Override`.
    MethodOverride,
    /// Other spellings of the path, such as `//orders` and `/./orders`, without a key and with one that has no scope.
    OtherSpelling,
    /// A guard refused a request because no layer outside it authenticates: it stands outside the layer, or there is
    /// none.
    LayerOrder,
}

impl Row {
    /// The row in a few words.
    ///
    /// ```
    /// use tower_api_key::testing::Row;
    ///
    /// assert_eq!(Row::KeyInUrl.as_str(), "a key in the URL");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RightKey => "the right key",
            Self::NoKey => "no key",
            Self::TwoKeys => "two keys",
            Self::MalformedKey => "a malformed key",
            Self::UnknownKey => "an unknown key",
            Self::ExpiredKey => "an expired key",
            Self::RevokedKey => "a revoked key",
            Self::MissingScope => "a key with other scopes",
            Self::KeyInUrl => "a key in the URL",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::OtherMethod => "another method",
            Self::MethodOverride => "a method-override header",
            Self::OtherSpelling => "another spelling of the path",
            Self::LayerOrder => "the order of the layers",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
